"""The command line in this process, fast enough for every wrong argument; a model of which a region holds versions."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from modelcast.cli import main
from modelcast.infra.stores import MemoryStore
from modelcast.schemas import keys
from modelcast.schemas.log.fold import ModelLog
from modelcast.schemas.manifest import Manifest
from modelcast.schemas.records import ArtifactRef, ModelUpdate
from modelcast.schemas.region_memory import Held, Memory
from tests.consumers.fetch.publishing import MIB, noise, publish
from tests.support.any_format import ANY_FORMAT

BODIES = [noise(2 * MIB, seed) for seed in range(4)]
"""Of the files of ``manifests``."""


@dataclass(frozen=True)
class Ended:
    """How a command ended, and what it said."""

    code: int
    out: str
    err: str


Cli = Callable[..., Ended]


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Cli:
    """``modelcast ARGUMENTS`` in an empty folder, with no settings but those given as keywords."""
    monkeypatch.chdir(tmp_path)
    for name in list(main.os.environ):
        if name.startswith(("MODELCAST_", "AWS_")) and name != "MODELCAST_CACHE_DIR":
            monkeypatch.delenv(name)

    monkeypatch.setenv("COLUMNS", "200")
    for name, value in ANY_FORMAT.items():
        monkeypatch.setenv(name, value)

    def run(*arguments: str | Path, **env: str) -> Ended:
        for name, value in env.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(sys, "argv", ["modelcast", *map(str, arguments)])
        code = 0
        try:
            main.run()
        except SystemExit as ended:
            code = int(ended.code or 0)
        said = capsys.readouterr()
        return Ended(code, said.out, said.err)

    return run


@pytest.fixture
def origin() -> MemoryStore:
    return MemoryStore("origin")


@pytest.fixture
def own() -> MemoryStore:
    return MemoryStore("eu")


@pytest.fixture
def manifests(origin: MemoryStore) -> dict[int, Manifest]:
    """Version 3 shares a file with version 1."""
    files = {1: {"w": BODIES[1], "same": BODIES[0]}, 2: {"w": BODIES[2]}, 3: {"w": BODIES[3], "same": BODIES[0]}}
    return {version: publish(origin, each) for version, each in files.items()}


@pytest.fixture
def log(manifests: dict[int, Manifest]) -> ModelLog:
    log = ModelLog("fraud", "r")
    for version, manifest in manifests.items():
        digest = manifest.digest
        artifact = ArtifactRef("origin", keys.manifest(digest), digest, manifest.size_bytes, len(manifest.files), "")
        log = log.apply(ModelUpdate("r", f"e{version}", "fraud", version, version, artifact, 1))
    return log


def region_says(own: MemoryStore, log: ModelLog, served: int, staged: int) -> int:
    """The region says what it holds; when, in microseconds."""
    held = {how: Held.of(log.updates[v], v) for how, v in (("served", served), ("staged", staged))}
    memory = Memory("r", "fraud", "eu", 1, **held)  # type: ignore[arg-type]
    own.put(keys.region_state("fraud"), memory.encode())
    info = own.head(keys.region_state("fraud"))
    assert info is not None
    return info.last_modified_us
