"""Rollouts in the log: what each entry makes of one, what ends it, and what each region is granted."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelcast.schemas.errors import ContentError, NotFound, Refused
from modelcast.schemas.log.fold import ModelLog
from modelcast.schemas.records import ALL_REGIONS, CommandKind, CommandTarget, Entry, ModelCommand
from modelcast.schemas.traffic.grant import ACTIVE, RolloutPhase
from modelcast.schemas.traffic.steps_and_gates import CANARY
from tests.schemas.traffic.makers import (
    EMPTY_LOG,
    commanded,
    log_with_rollout,
    published,
    rollout_start,
    rollout_step,
    rollout_word,
)
from tests.support.records.folding import apply_all

K = CommandKind


def phase(log: ModelLog) -> RolloutPhase | None:
    return log.rollout.phase if log.rollout else None


def test_a_start_grants_nothing_yet_and_changes_nothing_that_is_served() -> None:
    log = log_with_rollout()
    grant = log.grant("eu")
    assert grant is not None
    assert (grant.control.version, grant.candidate.version, grant.ceiling) == (7, 8, 0)
    assert (grant.rollout, grant.salt, grant.plan) == ("3", "event-3", CANARY)
    assert grant.keeps_candidate
    assert not grant.serves_candidate
    assert log.aspired_version("eu") == 7
    assert log.view("eu").generation == 2, "no region has to order anything of the control again"


def test_steps_raise_and_lower_the_ceilings_of_their_regions() -> None:
    log = log_with_rollout(rollout_step(4, 100, "eu"), rollout_step(5, 1_000, "eu", "us"), rollout_step(6, 0, "us"))
    assert [_ceiling(log, region) for region in ("eu", "us", "ap")] == [1_000, 0, 0]
    assert [_ceiling(log.apply(rollout_step(7, 300)), region) for region in ("eu", "ap")] == [300, 300]


def _ceiling(log: ModelLog, region: str) -> int:
    grant = log.grant(region)
    return -1 if grant is None else grant.ceiling


def test_a_standby_region_is_granted_to_load_and_not_to_serve() -> None:
    from dataclasses import replace

    log = log_with_rollout(rollout_step(4, 5_000), plan=replace(CANARY, standby=("ap",)))
    assert [_ceiling(log, region) for region in ("eu", "ap")] == [5_000, 0]


def test_while_it_is_held_shares_only_fall() -> None:
    log = log_with_rollout(rollout_step(4, 1_000), rollout_word(5, K.ROLLOUT_HOLD))
    assert _ceiling(log.apply(rollout_step(6, 5_000)), "eu") == 1_000
    assert _ceiling(log.apply(rollout_step(6, 100)), "eu") == 100
    resumed = log.apply(rollout_word(6, K.ROLLOUT_RESUME)).apply(rollout_step(7, 5_000))
    assert _ceiling(resumed, "eu") == 5_000


def test_a_promotion_serves_the_candidate_and_keeps_the_old_version_loaded() -> None:
    log = log_with_rollout(rollout_step(4, 10_000), rollout_word(5, K.ROLLOUT_PROMOTE))
    grant = log.grant("eu")
    assert grant is not None
    assert (log.aspired_version("eu"), grant.candidate.version) == (8, 7)
    assert grant.keeps_candidate
    assert not grant.serves_candidate
    back = log.apply(commanded(6, K.ROLLBACK, CommandTarget(ALL_REGIONS, 7)))
    assert (back.aspired_version("eu"), phase(back)) == (7, RolloutPhase.SUPERSEDED)


def test_an_abort_ends_it_for_good() -> None:
    log = log_with_rollout(rollout_step(4, 1_000), rollout_word(5, K.ROLLOUT_ABORT))
    later = apply_all(
        log, [rollout_step(6, 5_000), rollout_word(7, K.ROLLOUT_RESUME), rollout_word(8, K.ROLLOUT_PROMOTE)]
    )
    assert phase(later) is RolloutPhase.ABORTED
    assert _ceiling(later, "eu") == 0
    assert later.aspired_version("eu") == 7


ENDINGS: list[tuple[str, Entry]] = [
    ("an immediate publication", published(5, 9)),
    ("an activation", commanded(5, K.ACTIVATE, CommandTarget("eu", 8))),
    ("a rollback", commanded(5, K.ROLLBACK, CommandTarget(ALL_REGIONS, 7))),
    ("a pin", commanded(5, K.PIN, CommandTarget("us", 7))),
    ("a quarantine of the candidate", commanded(5, K.QUARANTINE, CommandTarget(ALL_REGIONS, 8))),
]


@pytest.mark.parametrize("entry", [entry for _, entry in ENDINGS], ids=[name for name, _ in ENDINGS])
def test_what_decides_what_is_served_ends_it(entry: Entry) -> None:
    log = log_with_rollout(rollout_step(4, 1_000)).apply(entry)
    assert phase(log) is RolloutPhase.SUPERSEDED
    assert all(_ceiling(log, region) <= 0 for region in ("eu", "us", "ap"))
    assert phase(log.apply(rollout_word(6, K.ROLLOUT_PROMOTE))) is RolloutPhase.SUPERSEDED


GOING_ON: list[tuple[str, Entry]] = [
    ("a staged publication", published(5, 9, staged=True)),
    ("a reload", commanded(5, K.RELOAD)),
    ("an alias", commanded(5, K.ALIAS, CommandTarget(ALL_REGIONS, 7), alias="champion")),
    ("a pause of one region", commanded(5, K.PAUSE, CommandTarget("us"))),
    ("a publication for a region that takes no part", published(5, 9, placement=("sa",))),
]


@pytest.mark.parametrize("entry", [entry for _, entry in GOING_ON], ids=[name for name, _ in GOING_ON])
def test_what_does_not_goes_by_it(entry: Entry) -> None:
    first = [published(1, 7, placement=("eu", "us")), published(2, 8, staged=True, placement=("eu", "us"))]
    log = apply_all(EMPTY_LOG, [*first, rollout_start(), rollout_step(4, 1_000), entry])
    assert phase(log) is RolloutPhase.RUNNING
    assert _ceiling(log, "eu") == 1_000


def test_a_region_that_is_paused_or_pinned_takes_no_part_meanwhile() -> None:
    log = log_with_rollout(rollout_step(4, 1_000), commanded(5, K.PAUSE, CommandTarget("us")))
    assert log.grant("us") is None
    assert _ceiling(log.apply(commanded(6, K.RESUME, CommandTarget("us"))), "us") == 1_000


def test_a_bad_control_can_be_left() -> None:
    first = [published(1, 6), published(2, 7), published(3, 8, staged=True), rollout_start(4)]
    step = rollout_step(5, 1_000, rollout="4")
    log = apply_all(EMPTY_LOG, [*first, step, commanded(6, K.QUARANTINE, CommandTarget(ALL_REGIONS, 7))])
    grant = log.grant("eu")
    assert grant is not None
    assert (phase(log), grant.control.version, grant.ceiling) == (RolloutPhase.RUNNING, 6, 1_000)
    assert (grant.generation, grant.entry_generation) == (6, 5), "its table is taken after the order that changed it"


def test_a_newer_rollout_ends_the_older_one_and_leaves_nothing_behind() -> None:
    log = log_with_rollout(rollout_step(4, 5_000), published(5, 9, staged=True), rollout_start(6, 9))
    grant = log.grant("eu")
    assert grant is not None
    assert (grant.rollout, grant.candidate.version, grant.ceiling, grant.salt) == ("6", 9, 0, "event-6")
    assert _ceiling(log.apply(rollout_step(7, 10_000, rollout="3")), "eu") == 0, "a word about the older one is void"


def test_a_region_where_the_version_may_not_be_is_granted_nothing() -> None:
    log = apply_all(EMPTY_LOG, [published(1, 7), published(2, 8, staged=True, placement=("eu",)), rollout_start()])
    assert log.grant("us") is None
    assert log.grant("eu") is not None


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        (rollout_start(4, 9), "no such version"),
        (rollout_start(4, 7), "no region can take part"),
        (commanded(4, K.ROLLOUT_START, CommandTarget("", 8), rollout="4", plan="{}"), "can't be carried out"),
        (rollout_step(4, 100, rollout="2"), "rollout 2 is over"),
        (rollout_word(4, K.ROLLOUT_RESUME), "does not fit"),
        (commanded(4, K.ROLLOUT_PROMOTE, CommandTarget("", 7), rollout="3"), "does not fit"),
        (commanded(4, K.ROLLOUT_STEP, CommandTarget("eu"), rollout="3"), "does not fit"),
    ],
)
def test_a_claimant_is_refused_what_would_be_void(entry: ModelCommand, why: str) -> None:
    log = log_with_rollout()
    with pytest.raises((Refused, NotFound), match=why):
        log.check(entry)
    after = log.apply(entry)
    assert (after.rollout, after.views) == (log.rollout, log.views)


def test_a_quarantined_candidate_and_a_rollout_that_is_over_are_refused() -> None:
    log = log_with_rollout(commanded(4, K.QUARANTINE, CommandTarget(ALL_REGIONS, 8)))
    with pytest.raises(Refused, match="quarantined"):
        log.check(rollout_start(5))
    with pytest.raises(Refused, match="superseded"):
        log.check(rollout_step(5, 100))
    with pytest.raises(Refused, match="none was ever started"):
        apply_all(EMPTY_LOG, [published(1, 7)]).check(rollout_word(2, K.ROLLOUT_ABORT))


def test_a_plan_for_a_region_where_the_version_may_not_be_is_refused() -> None:
    from dataclasses import replace

    log = apply_all(EMPTY_LOG, [published(1, 7), published(2, 8, staged=True, placement=("eu",))])
    with pytest.raises(Refused, match="leaves out us"):
        log.check(rollout_start(3, 8, replace(CANARY, waves=(("eu",), ("us",)))))


def test_a_kind_that_is_not_known_stays_refused() -> None:
    with pytest.raises(ValueError, match="ROLLOUT_HOPE"):
        CommandKind("ROLLOUT_HOPE")


@st.composite
def stories(draw: st.DrawFn) -> list[Entry]:
    """A rollout, and whatever people and controllers say after it."""
    entries: list[Entry] = [published(1, 7), published(2, 8, staged=True), rollout_start()]
    for generation in range(4, 4 + draw(st.integers(0, 10))):
        region = draw(st.sampled_from(["eu", "us", ALL_REGIONS]))
        rollout = draw(st.sampled_from(["3", "3", "3", str(generation)]))
        kind = draw(st.sampled_from([*K.__members__.values(), *[K.ROLLOUT_STEP] * 10]))
        if kind is K.ROLLOUT_STEP:
            entries.append(rollout_step(generation, draw(st.integers(0, 10_000)), region, rollout=rollout))
        elif kind is K.ROLLOUT_START:
            entries.append(rollout_start(generation))
        elif kind.startswith("ROLLOUT"):
            entries.append(rollout_word(generation, kind, rollout))
        else:
            version = draw(st.integers(7, 8))
            entries.append(commanded(generation, kind, CommandTarget(region, version), alias="a"))
    return entries


@settings(max_examples=200, deadline=None)
@given(stories())
def test_whatever_is_said_a_candidate_never_serves_where_it_is_not_granted(entries: list[Entry]) -> None:
    log = EMPTY_LOG
    for entry in entries:
        before = log
        log = log.apply(entry)
        for region in ("eu", "us", "ap"):
            grant, older = log.grant(region), before.grant(region)
            if grant is None:
                continue
            assert grant.candidate.version != grant.control.version
            assert grant.control.version == log.aspired_version(region)
            assert grant.candidate.version not in log.quarantined or not grant.serves_candidate
            if grant.phase in ACTIVE:
                assert grant.generation >= log.aspiration(region).generation, "pods would refuse its tables"
            if older is not None and older.rollout == grant.rollout and grant.ceiling > older.ceiling:
                assert isinstance(entry, ModelCommand)
                assert entry.kind is K.ROLLOUT_STEP, "nothing else raises a ceiling"


@settings(max_examples=100, deadline=None)
@given(stories())
def test_what_a_claimant_may_not_write_changes_nothing(entries: list[Entry]) -> None:
    log = EMPTY_LOG
    for entry in entries:
        try:
            log.check(entry)
        except ContentError:
            if isinstance(entry, ModelCommand) and entry.kind.startswith("ROLLOUT"):
                after = log.apply(entry)
                assert (after.rollout, after.views) == (log.rollout, log.views)
        log = log.apply(entry)
