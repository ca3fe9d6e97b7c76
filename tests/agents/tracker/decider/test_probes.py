"""Probes: due once a turn, counted once, lost only where a region is heard of or Kafka does not take them."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from modelcast.agents.tracker.decider.probes import DAY_US, LOST_SECONDS, Probes
from modelcast.schemas.probes import Probe, ProbeAnswer, ProbeState
from modelcast.schemas.topics import MODEL_PARTITIONS

SECOND = 1_000_000
EVERY = 30.0
NOON = 20_000 * DAY_US + DAY_US // 2
EU_US = frozenset({"eu", "us"})
ALL = frozenset(range(MODEL_PARTITIONS))


def begun(
    probes: Probes, probe_id: str = "p", *, partition: int = 3, heard: frozenset[str] = EU_US, at: float = 0.0
) -> bool:
    probe = Probe("registry", probe_id, "w", NOON + round(at * SECOND))
    return probes.begin(probe, partition, EU_US, heard, at, 0.01)


def answered(probes: Probes, region: str, probe_id: str = "p", *, partition: int = 3, at: float = 0.2) -> object:
    """A region answers a probe that Kafka received at 0, and the tracker reads the answer 0.05 s later."""
    answer = ProbeAnswer("registry", probe_id, region, "w", NOON)
    appended_us = NOON + round(at * SECOND)
    return probes.answer(answer, partition, appended_us, appended_us + SECOND // 20 + 7, ahead_us=7)


def passed(probes: Probes, seconds: float, heard: frozenset[str] = EU_US) -> ProbeState:
    probes.tick(heard, seconds, NOON + round(seconds * SECOND))
    return probes.states[3]


def test_each_partition_has_its_turn_and_only_its_owner_probes_it() -> None:
    probes, other = Probes(EVERY), Probes(EVERY)
    mine, theirs = frozenset(range(5)), frozenset(range(5, MODEL_PARTITIONS))
    seen: list[int | None] = []
    for second in range(round(EVERY) * MODEL_PARTITIONS):
        now_us = NOON + second * SECOND
        seen += [probes.due(now_us, mine), other.due(now_us, theirs)]
    assert sorted(each for each in seen if each is not None) == sorted(ALL)


def test_turns_that_were_missed_stay_missed() -> None:
    probes = Probes(EVERY)
    assert probes.due(NOON, ALL) is not None
    assert probes.due(NOON + 3600 * SECOND, ALL) is not None
    assert probes.due(NOON + 3601 * SECOND, ALL) is None


def test_a_probe_that_all_have_answered_is_finished_and_says_how_long_each_hop_took() -> None:
    probes = Probes(EVERY)
    assert begun(probes)
    assert probes.delivered("p", True, 0.02, NOON) == 0.02
    assert answered(probes, "eu", at=0.2)
    assert probes.states[3].finished_today == 0
    assert answered(probes, "us", at=0.3)
    state = probes.states[3]
    assert (state.finished_today, state.lost_today, state.trouble) == (1, 0, "")
    assert (state.log_seconds, state.kafka_seconds, state.tracker_seconds) == (0.01, 0.02, 0.05)
    assert {row.region: row.seconds for row in state.regions} == {"eu": 0.2, "us": 0.3}
    assert passed(probes, LOST_SECONDS + 1).finished_today == 1


def test_a_region_that_is_heard_of_and_does_not_answer_has_lost_it() -> None:
    probes = Probes(EVERY)
    begun(probes)
    probes.delivered("p", True, 0.02, NOON)
    answered(probes, "eu")
    assert passed(probes, LOST_SECONDS - 1).finished_today == 0
    state = passed(probes, LOST_SECONDS)
    assert (state.finished_today, state.lost_today) == (1, 1)
    assert state.trouble == "us did not answer in 60 s"
    assert [row.lost_today for row in state.regions] == [0, 1]


def test_a_silent_region_loses_nothing() -> None:
    probes = Probes(EVERY)
    begun(probes, "p", heard=frozenset({"eu"}))
    probes.delivered("p", True, 0.02, NOON)
    answered(probes, "eu")
    begun(probes, "q", at=30.0)
    probes.delivered("q", True, 30.1, NOON)
    answered(probes, "eu", "q")
    state = passed(probes, 30 + LOST_SECONDS, heard=frozenset({"eu"}))  # us has fallen silent meanwhile
    assert (state.finished_today, state.lost_today) == (2, 0)


def test_an_answer_counts_once_and_only_to_a_probe_that_is_under_way_on_its_partition() -> None:
    probes = Probes(EVERY)
    begun(probes)
    probes.delivered("p", True, 0.02, NOON)
    assert answered(probes, "eu", "made-up") is None
    assert answered(probes, "eu", partition=4) is None
    assert answered(probes, "eu") is not None
    before = probes.states[3]
    assert answered(probes, "eu", at=50.0) is None
    passed(probes, LOST_SECONDS)
    assert answered(probes, "us", at=LOST_SECONDS + 1) is None
    assert probes.states[3].regions[1].answered_at_us == 0
    assert probes.states[3].regions[0] == before.regions[0]


def test_while_kafka_takes_none_no_other_is_handed_over_and_each_turn_is_lost() -> None:
    probes = Probes(EVERY)
    assert begun(probes, "p", partition=3)
    for turn in range(1, 5):
        assert not begun(probes, f"q{turn}", partition=3 + turn, at=30.0 * turn)
        assert probes.states[3 + turn].lost_today == 1
        assert "Kafka" in probes.states[3 + turn].trouble
        probes.tick(EU_US, 30.0 * turn, NOON)
    assert probes.states[3].lost_today == 1
    assert probes.states[3].trouble == "Kafka did not take it"
    assert [row.lost_today for row in probes.states[3].regions] == [0, 0]
    assert probes.delivered("p", True, 150.0, NOON) is None
    assert begun(probes, "r", partition=8, at=150.0)


def test_a_probe_that_kafka_refuses_is_lost_at_once_and_the_next_one_goes() -> None:
    probes = Probes(EVERY)
    begun(probes)
    assert probes.delivered("p", False, 1.0, NOON) is None
    assert probes.states[3].lost_today == 1
    assert begun(probes, "q", at=30.0)


def test_a_worker_that_takes_a_partition_over_counts_on_and_forgets_what_it_loses() -> None:
    first, second = Probes(EVERY), Probes(EVERY)
    begun(first)
    first.delivered("p", True, 0.02, NOON)
    answered(first, "eu")
    told = passed(first, LOST_SECONDS)
    first.keep(ALL - {3})
    assert (first.states, first.changed) == ({}, set())
    second.restore(told, frozenset({3}))
    second.restore(replace(told, partition=4), frozenset({3}))
    assert set(second.states) == {3}
    begun(second, "q", at=90.0)
    second.delivered("q", True, 90.1, NOON)
    answered(second, "eu", "q")
    answered(second, "us", "q")
    state = second.states[3]
    assert (state.finished_today, state.lost_today) == (2, 1)
    assert answered(second, "us", "p") is None  # the probe of the owner before


def test_what_is_counted_begins_anew_each_utc_day() -> None:
    probes = Probes(EVERY)
    begun(probes)
    probes.delivered("p", True, 0.02, NOON)
    passed(probes, LOST_SECONDS)
    assert probes.states[3].lost_today == 1
    probes.begin(Probe("registry", "q", "w", NOON + DAY_US), 3, EU_US, EU_US, 86_400.0, None)
    state = probes.states[3]
    assert (state.finished_today, state.lost_today) == (0, 0)
    assert [row.lost_today for row in state.regions] == [0, 0]
    assert "store" in state.trouble


@given(
    st.lists(
        st.tuples(st.sampled_from(["begin", "eu", "us", "ap", "ok", "fail", "tick", "silent"]), st.integers(0, 40))
    )
)
@settings(max_examples=200)
def test_whatever_happens_no_more_are_lost_than_end_and_no_more_end_than_begin(steps: list[tuple[str, int]]) -> None:
    probes, now, count = Probes(EVERY), 0.0, 0
    for what, wait in steps:
        now += wait
        at_us = NOON + round(now * SECOND)
        if what == "begin":
            count += 1
            probes.begin(Probe("registry", f"p{count}", "w", at_us), 3, EU_US, EU_US, now, 0.01)
        elif what in {"ok", "fail"}:
            probes.delivered(f"p{max(1, count - wait % 2)}", what == "ok", now, at_us)
        elif what in {"tick", "silent"}:
            probes.tick(EU_US if what == "tick" else frozenset({"eu"}), now, at_us)
        else:
            probes.answer(ProbeAnswer("registry", f"p{count - wait % 2}", what, "w", NOON), 3, at_us, at_us, 0)
    if count:
        state = probes.states[3]
        assert state.lost_today <= state.finished_today <= count
        assert len(state.regions) == 2
