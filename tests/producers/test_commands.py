"""What operators say, on a store in memory."""

import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from modelcast.infra.registry.reader import RegistryReader
from modelcast.infra.stores import MemoryStore
from modelcast.producers import Commander, Publisher
from modelcast.schemas.errors import ExitCode, ForeignRegistry, NotAnnounced, NotFound, Refused, UsageError
from modelcast.schemas.records import ALL_REGIONS, Activation, CommandKind, CommandTarget, ModelCommand
from tests.producers.fakes import SETTINGS, Heard
from tests.producers.published import log_of


@pytest.fixture
def store(tmp_path: Path) -> MemoryStore:
    """Three versions of fraud; version 3 for eu alone."""
    store = MemoryStore()
    with Publisher(SETTINGS, store=store, announcer=Heard()) as publisher:
        for number in (1, 2, 3):
            (tmp_path / "model").write_text(str(number))
            publisher.publish("fraud", tmp_path / "model", placement=["eu"] if number == 3 else [])
    return store


@pytest.fixture
def commander(store: MemoryStore, heard: Heard) -> Commander:
    return Commander(SETTINGS, store=store, announcer=heard)


def test_a_command_stands_in_the_log_with_who_and_why_and_is_announced(
    commander: Commander, store: MemoryStore, heard: Heard
) -> None:
    said = commander.activate("fraud", 1, regions=["us", "ap"], reason="drift", requested_by="ann")
    assert said.targets == (CommandTarget("us", 1), CommandTarget("ap", 1))
    assert (said.kind, said.generation, said.reason, said.requested_by) == (CommandKind.ACTIVATE, 4, "drift", "ann")
    assert heard.records == [said]
    timed = RegistryReader(store).entry("fraud", 4)
    assert timed is not None
    assert timed.entry == said
    log = log_of(store)
    assert [log.aspired_version(r) for r in ("eu", "us", "ap")] == [3, 1, 1]


def test_a_text_is_one_region(commander: Commander) -> None:
    said = commander.activate("fraud", 1, regions="eu")
    assert said is not None
    assert said.targets == (CommandTarget("eu", 1),)
    rolled_back = commander.rollback("fraud", regions="eu")
    assert rolled_back is not None
    assert rolled_back.targets == (CommandTarget("eu", 3),)


def test_a_dry_run_checks_the_command_and_writes_nothing(store: MemoryStore, heard: Heard) -> None:
    before = {info.key: info.etag for info in store.list("")}
    commander = Commander(SETTINGS, dry_run=True, store=store, announcer=heard)
    rehearsed = commander.rollback("fraud", reason="drift")
    assert (rehearsed.generation, rehearsed.targets) == (4, (CommandTarget(ALL_REGIONS, 1),))
    with pytest.raises(NotFound):
        commander.activate("fraud", 9)
    with pytest.raises(Refused):
        commander.pin("fraud", 3, regions=["us"])
    assert heard.records == []
    assert {info.key: info.etag for info in store.list("")} == before


Say = Callable[[Commander], ModelCommand | None]


@pytest.mark.parametrize(
    ("say", "kind", "target"),
    [
        (lambda c: c.pin("fraud", 1), CommandKind.PIN, CommandTarget(ALL_REGIONS, 1)),
        (lambda c: (c.pin("fraud", 1), c.unpin("fraud"))[-1], CommandKind.UNPIN, CommandTarget(ALL_REGIONS)),
        (lambda c: c.pause("fraud", regions=["eu"]), CommandKind.PAUSE, CommandTarget("eu")),
        (lambda c: (c.pause("fraud"), c.resume("fraud"))[-1], CommandKind.RESUME, CommandTarget(ALL_REGIONS)),
        (lambda c: c.reload("fraud", regions=["eu"]), CommandKind.RELOAD, CommandTarget("eu")),
        (lambda c: c.quarantine("fraud", 2), CommandKind.QUARANTINE, CommandTarget(ALL_REGIONS, 2)),
        (lambda c: c.release("fraud", 2), CommandKind.RELEASE, CommandTarget(ALL_REGIONS, 2)),
        (lambda c: c.alias("fraud", "champion", 2), CommandKind.ALIAS, CommandTarget(ALL_REGIONS, 2)),
    ],
)
def test_each_kind_names_its_targets(commander: Commander, say: Say, kind: CommandKind, target: CommandTarget) -> None:
    said = say(commander)
    assert (said.kind, said.targets) == (kind, (target,))
    assert said.requested_by


def test_an_alias_is_said_by_name(commander: Commander, store: MemoryStore) -> None:
    commander.alias("fraud", "champion", 2)
    assert log_of(store).aliases == {"champion": 2}


def test_a_rollback_goes_where_it_is_told(commander: Commander) -> None:
    assert commander.rollback("fraud", to=1).targets == (CommandTarget(ALL_REGIONS, 1),)


def test_a_rollback_goes_to_the_last_consistent_version_unless_that_is_what_is_aspired(commander: Commander) -> None:
    assert commander.rollback("fraud", last_consistent=1, regions=["eu"]).targets == (CommandTarget("eu", 1),)
    # eu aspires to 1 now, so the last consistent version is no way back: what was activated before is.
    assert commander.rollback("fraud", last_consistent=1, regions=["eu"]).targets == (CommandTarget("eu", 3),)
    assert commander.rollback("fraud", last_consistent=99, regions=["us"]).targets == (CommandTarget("us", 1),)


def test_a_rollback_without_advice_goes_to_the_activation_before_and_skips_the_quarantined(
    commander: Commander,
) -> None:
    assert commander.rollback("fraud", regions=["eu", "us"]).targets == (CommandTarget("eu", 2), CommandTarget("us", 1))
    commander.activate("fraud", 3, regions=["eu"])
    commander.quarantine("fraud", 2)
    assert commander.rollback("fraud", regions=["eu"]).targets == (CommandTarget("eu", 1),)


def test_a_rollback_of_a_model_placed_by_name_goes_back_in_each_of_its_regions(tmp_path: Path) -> None:
    store, heard = MemoryStore(), Heard()
    with Publisher(SETTINGS, store=store, announcer=heard) as publisher:
        for number in (1, 2):
            (tmp_path / "model").write_text(str(number))
            publisher.publish("fraud", tmp_path / "model", placement=["eu", "us"])
    said = Commander(SETTINGS, store=store, announcer=heard).rollback("fraud")
    assert set(said.targets) == {CommandTarget("eu", 1), CommandTarget("us", 1)}


def test_there_is_no_way_back_from_the_first_version(tmp_path: Path) -> None:
    store, heard = MemoryStore(), Heard()
    (tmp_path / "model").write_text("1")
    Publisher(SETTINGS, store=store, announcer=heard).publish("fraud", tmp_path / "model")
    with pytest.raises(Refused, match="nothing was served before"):
        Commander(SETTINGS, store=store, announcer=heard).rollback("fraud")
    assert log_of(store).head == 1


@pytest.mark.parametrize("staged", [True, False], ids=["only staged", "all quarantined"])
def test_a_rollback_where_no_version_is_in_force_says_so(tmp_path: Path, staged: bool) -> None:
    store, heard = MemoryStore(), Heard()
    (tmp_path / "model").write_text("1")
    with Publisher(SETTINGS, store=store, announcer=heard) as publisher:
        publisher.publish("fraud", tmp_path / "model", activation="staged" if staged else "immediate")
    commander = Commander(SETTINGS, store=store, announcer=heard)
    if not staged:
        commander.quarantine("fraud", 1)
    head = log_of(store).head
    with pytest.raises(Refused, match="no version is in force: there is nothing to go back from") as refused:
        commander.rollback("fraud")
    assert "activate fraud/NUMBER" in refused.value.hint
    assert log_of(store).head == head


@pytest.mark.parametrize(
    ("say", "error", "code"),
    [
        (lambda c: c.activate("fraud", 9), NotFound, ExitCode.FAILED),
        (lambda c: c.pause("nobody"), NotFound, ExitCode.FAILED),
        (lambda c: c.activate("fraud", 3, regions=["us"]), Refused, ExitCode.REFUSED),
        (lambda c: c.activate("fraud", 0), UsageError, ExitCode.USAGE),
        (lambda c: c.activate("fraud", 1.5), UsageError, ExitCode.USAGE),
        (lambda c: c.activate("fraud", "1"), UsageError, ExitCode.USAGE),
        (lambda c: c.pause("fraud", regions=7), UsageError, ExitCode.USAGE),
        (lambda c: c.pause("fraud", reason=b"why"), UsageError, ExitCode.USAGE),
        (lambda c: c.alias("fraud", None, 1), UsageError, ExitCode.USAGE),
        (lambda c: c.pause("fraud", regions=["EU"]), UsageError, ExitCode.USAGE),
        (lambda c: c.rollback("fraud", regions=["EU"]), UsageError, ExitCode.USAGE),
        (lambda c: c.alias("fraud", "Not An Alias", 1), UsageError, ExitCode.USAGE),
        (lambda c: c.pause("Fraud"), UsageError, ExitCode.USAGE),
        (lambda c: c.pause("fraud", reason="x" * 2000), UsageError, ExitCode.USAGE),
    ],
)
def test_what_cannot_be_is_refused_and_leaves_no_entry(
    commander: Commander, store: MemoryStore, heard: Heard, say: Say, error: type[Exception], code: ExitCode
) -> None:
    with pytest.raises(error) as caught:
        say(commander)
    assert caught.value.exit_code == code  # type: ignore[attr-defined]
    assert log_of(store).head == 3
    assert heard.said == []


def test_a_quarantined_version_is_not_to_be_served_until_released(commander: Commander) -> None:
    commander.quarantine("fraud", 2)
    for say in (commander.activate, commander.pin):
        with pytest.raises(Refused, match="modelcast release fraud/2"):
            say("fraud", 2)
    with pytest.raises(Refused, match="quarantined"):
        commander.rollback("fraud", to=2)
    commander.release("fraud", 2)
    commander.pin("fraud", 2)


def repeated(commander: Commander, store: MemoryStore, heard: Heard, say: Say) -> bool:
    """Whether it makes an entry when it is said again."""
    say(commander)
    head, said = log_of(store).head, len(heard.said)
    again = say(commander)
    assert (again is None) == (log_of(store).head == head) == (len(heard.said) == said)
    return again is not None


@pytest.mark.parametrize(
    "say",
    [
        lambda c: c.activate("fraud", 1),
        lambda c: c.rollback("fraud", to=1),
        lambda c: c.rollback("fraud", to=2, regions=["us"]),
        lambda c: c.pin("fraud", 1),
        lambda c: c.pause("fraud", regions=["eu"]),
        lambda c: c.quarantine("fraud", 2),
        lambda c: c.alias("fraud", "champion", 2),
        lambda c: c.unpin("fraud", reason="over"),
        lambda c: c.resume("fraud", regions=["eu"]),
    ],
)
def test_what_the_log_says_already_makes_no_entry(
    commander: Commander, store: MemoryStore, heard: Heard, say: Say
) -> None:
    assert not repeated(commander, store, heard, say)


@pytest.mark.parametrize(
    "say",
    [
        lambda c: c.reload("fraud"),
        lambda c: c.activate("fraud", 1, reason="try again"),  # regions that failed do
        lambda c: c.rollback("fraud", to=1, reason="try again"),
        lambda c: c.pin("fraud", 1, reason="another"),  # who holds it, and why, is shown
        lambda c: c.quarantine("fraud", 2, reason="another"),
        lambda c: c.release("fraud", 2),  # a region may refuse it by itself
        lambda c: c.rollback("fraud"),  # to the version before that
    ],
)
def test_what_is_news_makes_one_each_time(commander: Commander, store: MemoryStore, heard: Heard, say: Say) -> None:
    assert repeated(commander, store, heard, say)


def test_a_pause_is_renewed_if_a_quarantine_would_then_leave_another_version(
    commander: Commander, store: MemoryStore
) -> None:
    commander.pause("fraud", regions=["eu"])  # at 3, which came after 1 and 2
    assert commander.activate("fraud", 1, regions=["eu"]) is not None
    assert commander.pause("fraud", regions=["eu"]) is not None  # at 3 still, but 1 is what was last before
    assert commander.pause("fraud", regions=["eu"]) is None
    commander.quarantine("fraud", 3)
    assert log_of(store).aspired_version("eu") == 1


def test_who_is_told_that_nothing_changes_learns_what_that_was_decided_on(
    commander: Commander, store: MemoryStore
) -> None:
    assert commander.decided_on("fraud") == 0
    commander.release("fraud", 2)
    Commander(SETTINGS, store=store, announcer=Heard()).reload("fraud")  # nobody told our commander of it
    assert commander.unpin("fraud") is None
    assert commander.decided_on("fraud") == log_of(store).head == 5


def test_what_no_region_obeys_at_present_is_said_all_the_same(commander: Commander, store: MemoryStore) -> None:
    commander.pin("fraud", 1)
    assert commander.rollback("fraud", to=1) is not None  # where they go once the pin ends
    assert commander.rollback("fraud", to=1) is None
    commander.unpin("fraud")
    assert log_of(store).aspired_version("us") == 1
    commander.pause("fraud")
    assert commander.activate("fraud", 2) is not None
    assert commander.activate("fraud", 2) is None
    commander.resume("fraud")
    assert log_of(store).aspired_version("us") == 2


def test_one_region_that_differs_is_enough(commander: Commander, store: MemoryStore) -> None:
    commander.pin("fraud", 1)
    commander.unpin("fraud", regions=["us"])
    assert commander.pin("fraud", 1, regions=["eu"]) is None
    assert commander.pin("fraud", 1) is not None
    assert log_of(store).view("us").pinned_version == 1


def test_a_staged_version_is_activated_though_it_was_served_before(
    commander: Commander, store: MemoryStore, tmp_path: Path
) -> None:
    (tmp_path / "model").write_text("4")
    with Publisher(SETTINGS, store=store, announcer=Heard()) as publisher:
        publisher.publish("fraud", tmp_path / "model", activation=Activation.STAGED)
    assert commander.activate("fraud", 4) is not None
    assert log_of(store).view("us").staged_version is None
    assert commander.activate("fraud", 4) is None


def test_a_version_placed_elsewhere_is_refused_and_not_called_unchanged(commander: Commander) -> None:
    with pytest.raises(Refused):
        commander.rollback("fraud", to=3, regions=["us"])


def test_a_dry_run_says_that_nothing_would_change(store: MemoryStore, heard: Heard) -> None:
    assert Commander(SETTINGS, dry_run=True, store=store, announcer=heard).unpin("fraud") is None


def test_a_store_without_a_registry_has_no_models() -> None:
    with pytest.raises(NotFound, match="no registry"):
        Commander(SETTINGS, store=MemoryStore(), announcer=Heard()).pause("fraud")


def test_without_kafka_a_command_is_claimed_but_unannounced(
    commander: Commander, store: MemoryStore, heard: Heard
) -> None:
    heard.away = True
    with pytest.raises(NotAnnounced, match="generation 4") as caught:
        commander.pause("fraud")
    assert caught.value.exit_code == ExitCode.UNANNOUNCED
    assert log_of(store).head == 4


def test_a_swapped_store_is_refused(commander: Commander, store: MemoryStore, tmp_path: Path) -> None:
    commander.pause("fraud")
    for info in list(store.list("")):
        store.delete(info.key)
    (tmp_path / "model").write_text("1")
    Publisher(SETTINGS, store=store, announcer=Heard()).publish("fraud", tmp_path / "model")
    with pytest.raises(ForeignRegistry):
        commander.resume("fraud")
    assert log_of(store).head == 1


def test_commands_and_publications_at_once_all_land(
    commander: Commander, store: MemoryStore, heard: Heard, tmp_path: Path
) -> None:
    publisher = Publisher(SETTINGS, store=store, announcer=heard)

    def publish() -> None:
        for number in range(10, 15):
            (tmp_path / "other").write_text(str(number))
            publisher.publish("fraud", tmp_path / "other")

    def command() -> None:
        for _ in range(5):
            commander.reload("fraud")

    threads = [threading.Thread(target=publish), threading.Thread(target=command)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    log = log_of(store)
    assert log.head == 13
    assert sorted(log.updates) == list(range(1, 9))


def test_regions_may_be_an_array_and_a_verb_its_name(commander: Commander) -> None:
    said = commander.pin("fraud", 1, regions=np.array(["us", "ap"]))
    assert said is not None
    assert said.targets == (CommandTarget("us", 1), CommandTarget("ap", 1))
    unpinned = commander.command("unpin", "fraud", regions=np.array(["us"]))
    assert unpinned is not None
    assert (unpinned.kind, unpinned.targets) == (CommandKind.UNPIN, (CommandTarget("us", None),))
    with pytest.raises(UsageError, match="regions are array"):
        commander.pin("fraud", 1, regions=np.array("us"))
    with pytest.raises(UsageError, match="bad verb 'pinn'"):
        commander.command("pinn", "fraud")


@pytest.mark.parametrize(
    ("say", "named"),
    [
        (lambda c: c.pin("fraud", 1, requested_by=np.array(["a", "b"])), "requested_by"),
        (lambda c: c.pin("fraud", 1, reason="a\0b"), "reason"),
        (lambda c: c.rollback("fraud", last_consistent=[1]), "version"),
        (lambda c: c.rollback("fraud", to=10**5000), "version"),
        (lambda c: c.decided_on(["fraud"]), "model"),
    ],
)
def test_an_argument_of_another_type_is_refused_by_its_name(commander: Commander, say: Say, named: str) -> None:
    with pytest.raises(UsageError, match=named):
        say(commander)
