"""Stores and a cache for fetches."""

from pathlib import Path

import pytest

from modelcast.consumers.fetch import ArtifactCache
from modelcast.consumers.fetch import retry as retry_module
from modelcast.infra.stores import MemoryStore


@pytest.fixture
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries follow at once."""
    monkeypatch.setattr(retry_module, "PAUSE_SECONDS", 0.001)


@pytest.fixture
def origin() -> MemoryStore:
    return MemoryStore("origin")


@pytest.fixture
def region() -> MemoryStore:
    return MemoryStore("region")


@pytest.fixture
def cache(tmp_path: Path) -> ArtifactCache:
    return ArtifactCache(tmp_path / "cache")
