"""When a generation came how far, and the spans that a waterfall is drawn from."""

from modelcast.agents.region.decider.events_and_effects import Transfer
from modelcast.agents.region.decider.milestones import SPANS_MAX, Milestones, spans
from modelcast.schemas.records import StageSpan
from modelcast.schemas.states import State

NOW_US = 1_800_000_000_000_000


def at(*steps: tuple[float, State, bool], generation: int = 7) -> Milestones:
    found = Milestones()
    for now, state, in_region in steps:
        found = found.seen(generation, state, in_region, now)
    return found


def test_a_rollout_is_waiting_fetching_and_loading_on_the_regions_clock() -> None:
    found = at(
        (10.0, State.ANNOUNCED, False),
        (10.25, State.FETCHING, False),
        (13.25, State.STAGED, True),
        (13.5, State.LOADING, True),
        (15.0, State.SERVING, True),
        (20.0, State.LOADING, True),  # a pod restarted: that is another story
    )
    since_us, stages = spans(found, Transfer(), NOW_US, 25.0)
    assert since_us == NOW_US - 15_000_000
    assert stages == (
        StageSpan("wait", 0, 250, 250),
        StageSpan("fetch", 250, 3250, 3000),
        StageSpan("load", 3500, 5000, 1500),
    )


def test_what_is_under_way_has_no_end() -> None:
    _, stages = spans(at((10.0, State.FETCHING, False)), Transfer(), NOW_US, 11.0)
    assert stages == (StageSpan("fetch", 0, None, 0),)


def test_a_fetchs_own_stages_stand_among_them_and_those_of_an_earlier_generation_do_not() -> None:
    found = at((10.0, State.FETCHING, False), (14.0, State.STAGED, True))
    begun_us = NOW_US - 5_000_000
    transfer = Transfer(
        stage_seconds={"origin": 3.5, "verify": 0.25, "plan": 0.1},
        stage_times_us={
            "verify": (begun_us + 500_000, begun_us + 3_900_000),
            "origin": (begun_us + 100_000, begun_us + 3_800_000),
            "plan": (begun_us - 900_000, begun_us - 800_000),
        },
    )
    _, stages = spans(found, transfer, NOW_US, 15.0)
    assert stages[1:] == (StageSpan("origin", 100, 3800, 3500), StageSpan("verify", 500, 3900, 250))


def test_a_new_generation_begins_anew() -> None:
    found = at((10.0, State.FETCHING, False), (12.0, State.SERVING, True)).seen(8, State.ANNOUNCED, False, 30.0)
    assert spans(found, Transfer(), NOW_US, 31.0) == (NOW_US - 1_000_000, ())


def test_before_the_log_was_read_nothing_is_known() -> None:
    assert spans(at((1.0, State.ANNOUNCED, True), generation=0), Transfer(), NOW_US, 2.0) == (0, ())


def test_there_are_never_many() -> None:
    times = {f"stage-{n}" * 9: (NOW_US, NOW_US + n) for n in range(99)}
    _, stages = spans(at((1.0, State.FETCHING, False)), Transfer(stage_times_us=times), NOW_US, 1.0)
    assert len(stages) == SPANS_MAX
    assert max(len(span.stage) for span in stages) <= 32
