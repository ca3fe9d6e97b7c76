"""A command that the log makes needless says so, and what it then waits for is no older than that log."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from modelcast.infra.stores import MemoryStore
from modelcast.producers import Commander, Publisher, origin, wait
from modelcast.schemas.errors import ExitCode
from modelcast.schemas.records import RegionState
from tests.cli.conftest import Cli
from tests.producers.fakes import SETTINGS, Heard
from tests.producers.planning.test_convergence import REFUSING, SERVING, state
from tests.producers.published import log_of

URL = {"MODELCAST_STORES__ORIGIN__URL": "s3://unused"}


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MemoryStore:
    """Two versions of fraud, of which the second was released: generation 3."""
    store = MemoryStore()
    with Publisher(SETTINGS, store=store, announcer=Heard()) as publisher:
        for number in (1, 2):
            (tmp_path / "model").write_text(str(number))
            publisher.publish("fraud", tmp_path / "model")
    Commander(SETTINGS, store=store, announcer=Heard()).release("fraud", 2)
    monkeypatch.setattr(origin, "origin_store", lambda settings: store)
    return store


def told(monkeypatch: pytest.MonkeyPatch, *news: tuple[int, RegionState]) -> None:
    """Have the tracker say each, of the log up to a generation, and then nothing more until the time is over."""

    def reports(*_arguments: object, **_options: object) -> Iterator[wait.StateReport]:
        for head, row in news:
            row = replace(row, aspired_version=2, aspired_generation=min(head, 3))
            yield wait.StateReport(replace(state(eu=row), model="fraud", head_generation=head))

    monkeypatch.setattr(wait, "reports", reports)


REFUSED = replace(REFUSING, refused_version=2)
SERVED = replace(SERVING, served_version=2)


@pytest.mark.parametrize("command", ["activate", "rollback"])
@pytest.mark.parametrize("old", [REFUSED, SERVED])
def test_news_from_before_the_log_as_it_is_are_not_believed(
    cli: Cli, store: MemoryStore, monkeypatch: pytest.MonkeyPatch, command: str, old: RegionState
) -> None:
    what = ["fraud/2"] if command == "activate" else ["fraud", "--to", "2"]
    told(monkeypatch, (2, old))
    ended = cli(command, *what, "--yes", "--wait", **URL)
    assert "nothing to change" in ended.out
    assert ended.code == ExitCode.NOT_CONVERGED
    told(monkeypatch, (2, old), (3, SERVED))
    ended = cli(command, *what, "--yes", "--wait", **URL)
    assert (ended.code, "fraud/2: served in eu" in ended.err) == (0, True)
    told(monkeypatch, (2, old), (3, REFUSED))
    assert cli(command, *what, "--yes", "--wait", **URL).code == ExitCode.VERIFICATION_FAILED
    assert log_of(store).head == 3


def test_the_answer_tells_how_regions_try_again_where_the_entry_would_have_had_them(
    cli: Cli, store: MemoryStore
) -> None:
    ended = cli("activate", "fraud/2", "--yes", **URL)
    assert "fraud: nothing to change; `modelcast reload fraud` has regions try again now" in ended.out
    ended = cli("rollback", "fraud", "--to", "2", "--region", "eu", "--unknown-region-ok", "--yes", **URL)
    assert "`modelcast reload fraud --region eu`" in ended.out
    assert "try again" not in cli("unpin", "fraud", "--yes", **URL).out
    assert log_of(store).head == 3
