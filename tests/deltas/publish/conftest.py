"""A publisher that keeps bases, a training job, and a disk with room, however full that of these tests is."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from modelcast.deltas.publish.bases import cache as base_cache
from modelcast.infra.stores import MemoryStore
from modelcast.producers import Publisher
from tests.deltas.publish.training import VALUES, settings
from tests.producers.fakes import Heard
from tests.support.records.pairs import adam_step, bf16, safetensors_bytes, weights

TIB = 1 << 40


@pytest.fixture(autouse=True)
def roomy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests of full disks say otherwise."""
    empty = shutil.disk_usage("/")._replace(total=TIB, used=0, free=TIB)
    monkeypatch.setattr(base_cache.shutil, "disk_usage", lambda _: empty)


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def publisher(tmp_path: Path, store: MemoryStore, heard: Heard) -> Publisher:
    return Publisher(settings(tmp_path), store=store, announcer=heard)


@pytest.fixture
def train(tmp_path: Path) -> Callable[..., Path]:
    """A training job: the folder's model after so many steps; the tokenizer never changes."""
    folder = tmp_path / "model"

    def write(steps: int, name: str = "model.safetensors") -> Path:
        folder.mkdir(exist_ok=True)
        values = weights(VALUES)
        for step in range(steps):
            values = adam_step(values, 1e-5, seed=step)
        (folder / name).write_bytes(safetensors_bytes({"w": ("BF16", bf16(values))}))
        (folder / "tokenizer.bin").write_bytes(np.random.default_rng(0).bytes(400_000))
        return folder

    return write
