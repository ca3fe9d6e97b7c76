"""``modelcast pull`` says what to do where a store does not hold the version."""

from pathlib import Path

import pytest

from modelcast.infra.stores import MemoryStore, configured
from modelcast.producers import Publisher
from tests.cli.conftest import Cli
from tests.producers.fakes import SETTINGS, Heard


@pytest.mark.parametrize(
    ("options", "hint"), [(["--region", "eu"], "or pull without --region"), ([], "publish it again, as a new version")]
)
def test_a_version_that_a_store_does_not_hold_is_named_with_what_to_do(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], hint: str
) -> None:
    origin = MemoryStore()
    (tmp_path / "model").write_text("1")
    with Publisher(SETTINGS, store=origin, announcer=Heard()) as publisher:
        publisher.publish("fraud", tmp_path / "model")
    if not options:
        for info in list(origin.list("manifests/")):
            origin.delete(info.key)
    monkeypatch.setattr(configured, "origin_store", lambda settings: origin)
    monkeypatch.setattr(configured, "region_store", lambda settings, region: MemoryStore("eu"))
    ended = cli("pull", "fraud/1", "out", *options, MODELCAST_REGIONS__EU__TOKEN="t")
    assert ended.code == 1
    error, told = ended.err.splitlines()[-2:]
    assert "the manifest is not in the store" in error
    assert hint in told
