"""Where deltas are not installed, a command that needs them says what to install."""

import sys

import pytest

from modelcast.cli.delta_extra import PACKAGE, deltas_installed, needs_deltas
from modelcast.cli.plan_knowledge import RegionHoldings, planned
from modelcast.consumers.fetch import LinkSpeeds
from modelcast.infra.accelerators import EXTRA_MODULES
from modelcast.infra.stores import MemoryStore
from modelcast.schemas.errors import ModelcastError
from modelcast.schemas.log.fold import ModelLog
from modelcast.schemas.records import ArtifactRef, ModelUpdate
from tests.cli.conftest import Cli


class NotInstalled:
    """An import hook that finds nothing where the room ``deltas`` should be."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if name == PACKAGE:
            raise ModuleNotFoundError(f"not installed: {name}", name=name)


@pytest.fixture
def no_deltas(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the room had been neither imported nor installed."""
    for name in list(sys.modules):
        if name == PACKAGE or name.startswith(f"{PACKAGE}."):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [NotInstalled(), *sys.meta_path])


COMMANDS = ["delta info d", "delta apply old d new", "delta make old new d", "delta publish fraud/7"]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_delta_command_names_the_extra_that_it_lacks(cli: Cli, no_deltas: None, command: str) -> None:
    ended = cli(*command.split())
    assert (ended.code, ended.out) == (1, "")
    assert ended.err.splitlines() == [
        f"error this command needs '{PACKAGE}', which is not installed",
        "  → pip install 'modelcast[delta]'",
    ]


def test_plan_names_the_extra_that_it_lacks(no_deltas: None) -> None:
    update = ModelUpdate("r", "e1", "fraud", 1, 1, ArtifactRef("origin", "key", "sha256:" + "0" * 64, 1, 1, ""), 1)
    with pytest.raises(ModelcastError, match="this command needs") as caught:
        planned(MemoryStore(), None, ModelLog("fraud", "r"), update, RegionHoldings({}), LinkSpeeds(), 1)
    assert (caught.value.hint, int(caught.value.exit_code)) == ("pip install 'modelcast[delta]'", 1)


@pytest.mark.parametrize("missing", sorted(EXTRA_MODULES))
def test_a_library_of_the_extra_is_named(missing: str) -> None:
    with pytest.raises(ModelcastError, match=missing), needs_deltas():
        raise ModuleNotFoundError(name=missing)


def test_a_room_that_is_there_and_broken_is_an_error_of_its_own() -> None:
    with pytest.raises(ModuleNotFoundError), needs_deltas():
        raise ModuleNotFoundError(name=f"{PACKAGE}.codec.no_such_module")


def test_deltas_are_installed_with_all_of_their_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modelcast.cli.delta_extra.find_spec", lambda name: None if name == "pcodec" else object())
    assert not deltas_installed()
    monkeypatch.setattr("modelcast.cli.delta_extra.find_spec", lambda name: object())
    assert deltas_installed()
