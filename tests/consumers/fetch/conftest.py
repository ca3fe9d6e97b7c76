"""Stores and a cache for fetches."""

from pathlib import Path

import pytest

from modelcast.consumers.fetch import ArtifactCache, Fetcher
from modelcast.consumers.fetch import retry as retry_module
from modelcast.infra.stores import MemoryStore
from modelcast.schemas.manifest import Manifest
from tests.consumers.fetch.offering import NEW, OLD, SMALL
from tests.consumers.fetch.publishing import publish


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


@pytest.fixture
def versions(origin: MemoryStore, cache: ArtifactCache) -> dict[int, Manifest]:
    """Version 1 is in the cache, version 2 is to come."""
    first = publish(origin, {"weights": OLD, "small": SMALL})
    Fetcher(origin, None, cache).fetch(first.digest)
    return {1: first, 2: publish(origin, {"weights": NEW, "small": SMALL})}
