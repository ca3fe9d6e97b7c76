"""The log's fold against a slow twin that asks, for one region, what each entry in turn meant for it."""

import random
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelcast.schemas.errors import ContentError, ForeignRegistry, NotFound, Refused
from modelcast.schemas.log.fold import Gap, ModelLog
from modelcast.schemas.log.region_view import HISTORY_KEPT
from modelcast.schemas.names import Reference
from modelcast.schemas.records import (
    ALL_REGIONS,
    Activation,
    ArtifactRef,
    CommandKind,
    CommandTarget,
    Entry,
    ModelCommand,
    ModelUpdate,
)
from tests.support.lanes import often
from tests.support.records.folding import apply_all, stated

REGIONS = ("ap", "eu", "us")
EVERYWHERE = {CommandKind.QUARANTINE, CommandKind.RELEASE, CommandKind.ALIAS, CommandKind.ACCEPT}
NEEDS_VERSION = EVERYWHERE - {CommandKind.ACCEPT} | {CommandKind.ACTIVATE, CommandKind.ROLLBACK, CommandKind.PIN}
ELSEWHERE = "elsewhere"  # a region that no entry ever names
EMPTY = ModelLog("fraud", "registry")


def test_a_log_of_many_entries_shares_what_it_holds_with_its_successor() -> None:
    """Or ten thousand entries would cost the square of that."""
    log = apply_all(EMPTY, (update(n, n) for n in range(1, 200)))
    later = log.apply(update(200, 200))
    assert later.event_ids._items is log.event_ids._items  # type: ignore[attr-defined]
    assert later.updates._values is log.updates._values  # type: ignore[attr-defined]
    assert (len(log.event_ids), len(log.updates)) == (199, 199)
    assert log.apply(update(200, 300)).latest_version == 300  # another future of the same log
    assert later.latest_version == 200


def update(
    generation: int,
    version: int,
    placement: tuple[str, ...] = (),
    activation: Activation = Activation.IMMEDIATE,
    content: int | None = None,
) -> ModelUpdate:
    digest = f"sha256:{content if content is not None else version:064x}"
    return ModelUpdate(
        registry_id="registry",
        event_id=f"event-{generation}",
        model="fraud",
        version=version,
        generation=generation,
        artifact=ArtifactRef("origin", f"manifests/{digest}", digest, 1, 1, ""),
        published_at_us=0,
        placement=placement,
        activation=activation,
    )


def command(generation: int, kind: CommandKind, *targets: CommandTarget, alias: str = "") -> ModelCommand:
    return ModelCommand(
        registry_id="registry",
        event_id=f"event-{generation}",
        model="fraud",
        generation=generation,
        kind=kind,
        targets=targets,
        requested_at_us=0,
        requested_by="ann",
        alias=alias,
    )


@st.composite
def logs(draw: st.DrawFn, size_max: int = 24) -> list[Entry]:
    """Entries in log order, most of them sensible."""
    entries: list[Entry] = []
    newest = 0
    for generation in range(1, draw(st.integers(1, size_max)) + 1):
        if newest == 0 or draw(st.integers(0, 2)) == 0:
            version = newest + 1 if draw(st.integers(0, 9)) else max(1, newest)  # sometimes one that is taken
            newest = max(newest, version)
            placement = tuple(sorted(draw(st.sets(st.sampled_from(REGIONS), max_size=2))))
            entries.append(
                update(generation, version, placement, draw(st.sampled_from(list(Activation))), content=generation)
            )
            continue
        kind = draw(st.sampled_from(list(CommandKind)))
        targets = draw(
            st.lists(
                st.builds(
                    CommandTarget,
                    st.sampled_from((ALL_REGIONS, *REGIONS)),
                    st.one_of(st.integers(1, newest + 1), st.integers(max(1, newest - 1), newest)),
                ),
                min_size=1,
                max_size=2,
            )
        )
        entries.append(command(generation, kind, *targets, alias=draw(st.sampled_from(["a", "b"]))))
    return entries


@dataclass
class Twin:
    """One region's life, entry by entry."""

    region: str
    published: dict[int, ModelUpdate] = field(default_factory=dict)
    activated: list[tuple[int, int]] = field(default_factory=list)
    quarantined: set[int] = field(default_factory=set)
    released: dict[int, int] = field(default_factory=dict)
    aliases: dict[str, int] = field(default_factory=dict)
    pin: int | None = None
    paused_at: int | None = None
    paused_on: int | None = None
    staged: int | None = None
    reloaded: int = 0
    touched: int = 0

    def aspired(self) -> int | None:
        candidates = [self.pin]
        if self.paused_at is not None:
            candidates.append(self.paused_on)
        for generation, version in reversed(self.activated):
            if self.paused_at is None or generation <= self.paused_at:
                candidates.append(version)
        return next((v for v in candidates if v is not None and v not in self.quarantined), None)

    def may_have(self, version: int) -> bool:
        placement = self.published[version].placement
        return not placement or self.region in placement

    def live(self, entry: Entry) -> None:
        if isinstance(entry, ModelUpdate):
            if entry.version in self.published:
                return
            self.published[entry.version] = entry
            if self.may_have(entry.version):
                self.touched = entry.generation
                if entry.activation is Activation.STAGED:
                    self.staged = entry.version
                else:
                    self.activated.append((entry.generation, entry.version))
            return
        for target in entry.targets:
            self.obey(entry, target)

    def obey(self, entry: ModelCommand, target: CommandTarget) -> None:
        kind, version, generation = entry.kind, target.version, entry.generation
        if kind.startswith("ROLLOUT_"):
            return  # void without a plan; those that are not stand in test_rollouts.py
        if kind in NEEDS_VERSION and version not in self.published:
            return
        if kind is CommandKind.ALIAS:
            self.aliases[entry.alias] = version or 0
            return
        if kind not in EVERYWHERE and target.region not in {ALL_REGIONS, self.region}:
            return
        serves = {CommandKind.ACTIVATE, CommandKind.ROLLBACK, CommandKind.PIN}
        if kind in serves and not self.may_have(version or 0):
            return
        self.touched = generation
        if kind is CommandKind.QUARANTINE:
            self.quarantined.add(version or 0)
        elif kind is CommandKind.RELEASE:
            self.quarantined.discard(version or 0)
            self.released[version or 0] = generation
        elif kind is CommandKind.PIN:
            self.pin = version
        elif kind is CommandKind.UNPIN:
            self.pin = None
        elif kind is CommandKind.PAUSE:
            self.paused_at, self.paused_on = generation, self.aspired()
        elif kind is CommandKind.RESUME:
            self.paused_at = self.paused_on = None
        elif kind in {CommandKind.RELOAD, CommandKind.ACCEPT}:
            self.reloaded = generation
        else:
            self.activated.append((generation, version or 0))
            if self.staged == version:
                self.staged = None


def agrees(log: ModelLog, entries: list[Entry]) -> None:
    for region in (*REGIONS, ELSEWHERE):
        twin = Twin(region)
        for entry in entries:
            twin.live(entry)
        found = log.aspiration(region)
        assert found.version == twin.aspired(), region
        assert found.generation == twin.touched, region
        staged = twin.staged if twin.staged not in twin.quarantined else None
        assert (found.staged.version if found.staged else None) == staged, region
        assert found.pinned == (twin.pin is not None)
        assert found.paused == (twin.paused_at is not None)
        assert found.reload_generation == twin.reloaded
        assert found.released == twin.released
        assert log.aliases == twin.aliases
        assert log.updates == twin.published
        if found.update is not None:
            assert found.manifest_digest == twin.published[found.update.version].artifact.manifest_digest
            assert log.allowed(found.update.version, region)


@settings(max_examples=often(200, 60), deadline=None)
@given(logs())
def test_the_fold_says_of_each_region_what_the_slow_twin_says(entries: list[Entry]) -> None:
    agrees(apply_all(EMPTY, entries), entries)


@settings(max_examples=often(80, 30), deadline=None)
@given(logs(), st.data())
def test_met_twice_or_in_any_order_the_same_entries_make_the_same_log(
    entries: list[Entry], data: st.DataObject
) -> None:
    whole = apply_all(EMPTY, entries)
    waiting = [*entries, *data.draw(st.lists(st.sampled_from(entries), max_size=10))]
    random.Random(data.draw(st.integers())).shuffle(waiting)
    log = EMPTY
    while waiting:
        entry = waiting.pop(0)
        before = log
        try:
            log = log.extend(stated(log, entry))
        except Gap:
            assert entry.generation > before.head + 1
            waiting.append(entry)
            log = before
    assert log == whole


@settings(max_examples=often(40, 20), deadline=None)
@given(logs(), st.integers(0, 24))
def test_folding_in_two_goes_is_folding_in_one(entries: list[Entry], cut: int) -> None:
    assert apply_all(apply_all(EMPTY, entries[:cut]), entries[cut:]) == apply_all(EMPTY, entries)


@settings(max_examples=often(40, 20), deadline=None)
@given(logs(), st.integers(2, 5))
def test_a_gap_is_refused_and_changes_nothing(entries: list[Entry], ahead: int) -> None:
    log = apply_all(EMPTY, entries)
    with pytest.raises(Gap):
        log.apply(update(log.head + ahead, 99))
    assert log == apply_all(EMPTY, entries)


@settings(max_examples=often(40, 20), deadline=None)
@given(logs(), st.data())
def test_what_is_foreign_is_an_alarm(entries: list[Entry], data: st.DataObject) -> None:
    log = apply_all(EMPTY, entries)
    known = data.draw(st.sampled_from(entries))
    for foreign in (
        replace(known, registry_id="another"),
        replace(known, model="churn"),
        replace(known, event_id="another"),
        replace(update(log.head + 1, 99), registry_id="another"),
    ):
        with pytest.raises(ForeignRegistry):
            log.apply(foreign)


@settings(max_examples=often(80, 30), deadline=None)
@given(logs())
def test_only_an_entry_that_passed_the_check_changes_what_is_asked_of_a_version(entries: list[Entry]) -> None:
    log = EMPTY
    for entry in entries:
        try:
            log.check(entry)
            passed = True
        except (ContentError, NotFound, Refused):
            passed = False
        after = log.apply(entry)
        if passed and isinstance(entry, ModelUpdate):
            assert after.updates[entry.version] is entry
        if not passed and isinstance(entry, ModelUpdate):
            assert after.updates == log.updates
        log = after


# --- the rules one by one ---------------------------------------------------------------------------------------


def test_a_version_is_bound_to_its_first_bytes_for_ever() -> None:
    log = EMPTY.apply(update(1, 1, content=10)).apply(update(2, 1, content=20))
    assert log.head == 2
    assert log.updates[1].artifact.manifest_digest.endswith("0a")
    with pytest.raises(ContentError, match="version exists"):
        log.check(update(3, 1, content=30))


def test_a_rollback_is_undone_by_the_next_publication_and_a_pin_is_not() -> None:
    log = apply_all(EMPTY, [update(1, 1), update(2, 2), command(3, CommandKind.ROLLBACK, CommandTarget("", 1))])
    assert log.aspired_version("eu") == 1
    assert log.apply(update(4, 3)).aspired_version("eu") == 3
    pinned = log.apply(command(4, CommandKind.PIN, CommandTarget("eu", 1))).apply(update(5, 3))
    assert (pinned.aspired_version("eu"), pinned.aspired_version("us")) == (1, 3)
    assert pinned.apply(command(6, CommandKind.UNPIN, CommandTarget())).aspired_version("eu") == 3


def test_a_pause_holds_what_was_aspired_until_resumed() -> None:
    log = apply_all(EMPTY, [update(1, 1), command(2, CommandKind.PAUSE, CommandTarget("eu")), update(3, 2)])
    assert (log.aspired_version("eu"), log.aspired_version("us")) == (1, 2)
    assert log.apply(command(4, CommandKind.RESUME, CommandTarget("eu"))).aspired_version("eu") == 2


def test_a_quarantined_version_gives_way_to_the_one_before_until_released() -> None:
    log = apply_all(EMPTY, [update(1, 1), update(2, 2), command(3, CommandKind.QUARANTINE, CommandTarget("", 2))])
    assert log.aspired_version("eu") == 1
    released = log.apply(command(4, CommandKind.RELEASE, CommandTarget("", 2)))
    assert released.aspired_version("eu") == 2
    assert released.aspiration("eu").released == {2: 4}
    both = log.apply(command(4, CommandKind.QUARANTINE, CommandTarget("", 1)))
    assert both.aspired_version("eu") is None


def test_a_quarantined_pin_gives_way_to_the_pause_below_it() -> None:
    entries: list[Entry] = [
        update(1, 1),
        update(2, 2),
        command(3, CommandKind.PIN, CommandTarget("", 1)),
        command(4, CommandKind.PAUSE, CommandTarget("")),
        update(5, 3),
        command(6, CommandKind.PIN, CommandTarget("", 3)),
        command(7, CommandKind.QUARANTINE, CommandTarget("", 3)),
    ]
    assert apply_all(EMPTY, entries).aspired_version("eu") == 1


def test_staged_is_fetched_and_served_when_a_command_says_so() -> None:
    log = apply_all(EMPTY, [update(1, 1), update(2, 2, activation=Activation.STAGED)])
    ahead = log.aspiration("eu")
    assert (ahead.version, ahead.staged and ahead.staged.version, ahead.generation) == (1, 2, 2)
    served = log.apply(command(3, CommandKind.ACTIVATE, CommandTarget("eu", 2)))
    assert (served.aspiration("eu").version, served.aspiration("eu").staged) == (2, None)
    assert served.aspiration("us").version == 1


def test_placement_keeps_a_version_out_of_other_regions_whatever_is_said() -> None:
    log = apply_all(EMPTY, [update(1, 1), update(2, 2, ("eu",))])
    assert [log.aspired_version(r) for r in ("eu", "us", ELSEWHERE)] == [2, 1, 1]
    with pytest.raises(Refused, match="placement"):
        log.check(command(3, CommandKind.ACTIVATE, CommandTarget("us", 2)))
    everywhere = log.apply(command(3, CommandKind.ACTIVATE, CommandTarget("", 2)))
    assert [everywhere.aspired_version(r) for r in ("eu", "us", ELSEWHERE)] == [2, 1, 1]


def test_a_command_without_target_or_for_an_unknown_version_is_refused() -> None:
    log = EMPTY.apply(update(1, 1))
    with pytest.raises(ContentError, match="no target"):
        log.check(command(2, CommandKind.PAUSE))
    for target in (CommandTarget("", 9), CommandTarget("", None)):
        with pytest.raises(NotFound):
            log.check(command(2, CommandKind.PIN, target))
    log.check(command(2, CommandKind.PAUSE, CommandTarget()))


def test_references_are_resolved_by_version_alias_and_aspiration() -> None:
    log = apply_all(
        EMPTY, [update(1, 1), update(2, 2, ("eu",)), command(3, CommandKind.ALIAS, CommandTarget("", 1), alias="a")]
    )
    assert log.resolve(Reference.parse("fraud/2")).version == 2
    assert log.resolve(Reference.parse("fraud@a")).version == 1
    assert log.resolve(Reference.parse("fraud")).version == 1
    assert log.resolve(Reference.parse("fraud"), "eu").version == 2
    for unknown in ("fraud/3", "fraud@b"):
        with pytest.raises(NotFound):
            log.resolve(Reference.parse(unknown))
    with pytest.raises(NotFound):
        EMPTY.resolve(Reference.parse("fraud"))


def test_versions_count_up_from_the_highest() -> None:
    log = apply_all(EMPTY, [update(1, 5), update(2, 3)])
    assert (log.latest_version, log.next_version) == (5, 6)
    assert (EMPTY.latest_version, EMPTY.next_version) == (None, 1)


def test_a_long_history_is_cut_but_the_newest_activations_are_kept() -> None:
    log = apply_all(EMPTY, [update(n, n) for n in range(1, HISTORY_KEPT + 20)])
    assert log.aspired_version("eu") == HISTORY_KEPT + 19
    assert len(log.view("eu").activations) == HISTORY_KEPT
    assert len(log.updates) == HISTORY_KEPT + 19


def test_regions_are_known_once_named() -> None:
    log = apply_all(EMPTY, [update(1, 1, ("eu", "us")), command(2, CommandKind.PAUSE, CommandTarget("ap"))])
    assert log.regions_named == {"ap", "eu", "us"}
