"""What the tests of deltas put around a publisher."""

from pathlib import Path

import pytest

from modelcast.deltas.publish import publication
from modelcast.deltas.publish.reports import DeltaMade
from modelcast.infra.settings import Settings, StoreSettings
from modelcast.infra.settings_publish import PublishSettings
from modelcast.infra.stores import MemoryStore
from modelcast.schemas import keys
from modelcast.schemas.records import ModelUpdate
from tests.producers.fakes import Heard

VALUES = 300_000


def settings(folder: Path, **publish: object) -> Settings:
    section = PublishSettings.model_validate({"base_cache_dir": folder / "bases", "allow_unknown": ("*",), **publish})
    return Settings(stores={"origin": StoreSettings(url="s3://unused")}, publish=section)


class Watcher:
    """Notes which steps begin, and which deltas it is told of."""

    def __init__(self, told: list[DeltaMade]) -> None:
        self.begun: list[str] = []
        self._told = told

    def step(self, name: str, total_bytes: int = 0) -> None:
        self.begun.append(name)

    def advance(self, done_bytes: int) -> None: ...

    def added(self, made: DeltaMade) -> None:
        self._told.append(made)


def waits_for_one(monkeypatch: pytest.MonkeyPatch, patience_seconds: float = 120.0) -> None:
    """Announcements wait for the first delta."""
    monkeypatch.setattr(publication, "deltas_awaited", lambda whole, offers, links: 1)
    monkeypatch.setattr(publication, "PATIENCE_SECONDS", patience_seconds)


def offers_in(store: MemoryStore, digest: str) -> dict[tuple[str, str | None], str]:
    """(new, old) digest to key of all that lies beside an artifact."""
    found = {}
    for info in store.list(keys.delta_prefix(digest)):
        parsed = keys.parse_delta(info.key)
        assert parsed is not None
        found[parsed[1], parsed[2]] = info.key
    return found


def updates(heard: Heard) -> list[ModelUpdate]:
    return [r for r in heard.records if isinstance(r, ModelUpdate)]
