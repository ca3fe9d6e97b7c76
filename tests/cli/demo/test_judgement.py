"""The demo's judgement: what is wrong breaks, what is only late is reported, whatever the machine."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest

from modelcast.cli.demo.judgement import ROLLBACK, Followed, Judgement, judge, judge_deltas
from modelcast.cli.demo.offered import Offered
from modelcast.cli.demo.outcome import Outcome
from modelcast.cli.demo.seen import Asked, Crossing, Seen
from modelcast.cli.demo.traffic import Tally
from modelcast.schemas.errors import ExitCode
from modelcast.schemas.records import RegionState, VersionState
from modelcast.schemas.states import State

MIB = 1024 * 1024
REGIONS = ("eu", "us")
WHOLE = Crossing(68 * MIB, 0, 68 * MIB, "whole")
DELTA = Crossing(MIB, 67 * MIB, 68 * MIB, "1 file unchanged, 1 delta from 1")


@dataclass(frozen=True)
class Delta:
    """As much of an offer as is judged, for where ``deltas`` is not installed."""

    size_bytes: int = MIB
    whole_bytes: int = 68 * MIB


OFFERED = Offered(complete=True, made=(Delta(),))  # type: ignore[arg-type]
BROKE_OFF = Offered()
LABELS = {"digits": ("1", "2", ROLLBACK), "digits-wide": ("1", "2")}


def followed(model: str) -> Followed:
    """A model of which all went well."""
    seen = Seen(
        seconds_to_serving={label: dict.fromkeys(REGIONS, 1.0) for label in LABELS[model]},
        crossings={"1": dict.fromkeys(REGIONS, WHOLE), "2": dict.fromkeys(REGIONS, DELTA)},
        progress=set(REGIONS),
        served={1, 2},
        refused={3: dict.fromkeys(REGIONS, "wrong bytes")} if model == "digits" else {},
    )
    pods = Counter({"http://eu": 10, "http://us": 10})
    return Followed(model, seen, Tally(sent=20, by_pod=pods, versions_ever={1, 2}, latencies_seconds=[0.01] * 20))


def judged(small: Followed, large: Followed, **changes: object) -> Judgement:
    usual: dict[str, object] = {"regions": frozenset(REGIONS), "finished": True, "offered": OFFERED, "rate": 25.0}
    return judge(small, large, **(usual | changes))  # type: ignore[arg-type]


def test_where_all_goes_well_nothing_is_broken_or_late() -> None:
    assert judged(followed("digits"), followed("digits-wide")) == Judgement((), ())


def lost(small: Followed, large: Followed) -> None:
    large.tally.sent += 1
    large.tally.count_missing(ended=True)


def failed(small: Followed, large: Followed) -> None:
    small.tally.failed = 1


def wrong(small: Followed, large: Followed) -> None:
    small.tally.wrong = 1


def damaged_served(small: Followed, large: Followed) -> None:
    small.seen.served.add(3)


def damaged_answers(small: Followed, large: Followed) -> None:
    small.tally.versions_ever.add(3)


def refused_in_one_region(small: Followed, large: Followed) -> None:
    del small.seen.refused[3]["us"]


def refused_without_reason(small: Followed, large: Followed) -> None:
    small.seen.refused[3]["us"] = ""


def one_region_left_out(small: Followed, large: Followed) -> None:
    del small.seen.seconds_to_serving[ROLLBACK]["us"]


def other_versions_answer(small: Followed, large: Followed) -> None:
    large.tally.versions_ever.discard(2)


def whole_in_spite_of_a_delta(small: Followed, large: Followed) -> None:
    large.seen.crossings["2"]["us"] = WHOLE


def in_blocks(small: Followed, large: Followed) -> None:
    large.seen.crossings["2"]["us"] = Crossing(40 * MIB, 28 * MIB, 68 * MIB, "in changed blocks")


@pytest.mark.parametrize(
    "break_", [lost, failed, wrong, damaged_served, damaged_answers, refused_in_one_region, refused_without_reason,
               one_region_left_out, other_versions_answer, whole_in_spite_of_a_delta,
               in_blocks],
)  # fmt: skip
def test_what_is_wrong_breaks_a_promise(break_: Callable[[Followed, Followed], None]) -> None:
    small, large = followed("digits"), followed("digits-wide")
    break_(small, large)
    assert len(judged(small, large).broken) == 1


def parts_twice(small: Followed, large: Followed) -> None:
    large.seen.crossings["2"]["us"] = replace(DELTA, bytes_moved=21 * MIB)


def unseen_progress(small: Followed, large: Followed) -> None:
    large.seen.progress.clear()


def served_late(small: Followed, large: Followed) -> None:
    small.seen.seconds_to_serving["2"]["us"] = 200.0


def answered_late(small: Followed, large: Followed) -> None:
    large.tally.latencies_seconds.append(60.0)


@pytest.mark.parametrize(
    ("delay", "number"),
    [(parts_twice, "21 MiB"), (unseen_progress, "eu, us"), (served_late, "200 s"), (answered_late, "60.0 s")],
)  # fmt: skip
def test_what_is_only_late_breaks_nothing_and_is_reported_with_its_numbers(
    delay: Callable[[Followed, Followed], None], number: str
) -> None:
    small, large = followed("digits"), followed("digits-wide")
    delay(small, large)
    judgement = judged(small, large)
    assert judgement.broken == ()
    assert [number in line for line in judgement.late] == [True]


def test_pods_that_are_asked_seldom_are_late() -> None:
    judgement = judged(followed("digits"), followed("digits-wide"), rate=3.14)
    assert (judgement.broken, len(judgement.late)) == ((), 1)
    assert "3.1 times a second" in judgement.late[0]


def test_without_the_accelerator_a_whole_crossing_is_neither_late_nor_wrong() -> None:
    assert judge_deltas("digits-wide/2", {"eu": WHOLE}, None) == ((), ())


def test_a_publication_that_makes_no_delta_is_wrong_and_says_why() -> None:
    offered = Offered(complete=True, notes="1 delta(s) not made: no codec")
    wrong, late = judge_deltas("digits-wide/2", {"eu": WHOLE}, offered)
    assert wrong == ("no delta of digits-wide/2 was made: 1 delta(s) not made: no codec",)
    assert late == ()


def test_a_publication_that_ended_early_may_have_made_none() -> None:
    wrong, late = judge_deltas("digits-wide/2", {"eu": WHOLE, "us": DELTA}, BROKE_OFF)
    assert wrong == ()
    assert late == ("no delta of digits-wide/2 was ready when eu fetched: 68 MiB of 68 MiB moved (whole)",)


def test_a_delta_that_is_not_small_is_wrong_however_the_version_crossed() -> None:
    offered = replace(OFFERED, made=(Delta(20 * MIB),))
    wrong, late = judge_deltas("digits-wide/2", {"eu": DELTA}, offered)
    assert (wrong, late) == (("the delta of digits-wide/2 is not small: 20 MiB for 68 MiB",), ())


@pytest.mark.parametrize(("ended", "lost", "unanswered"), [(True, 2, 1), (False, 0, 3)])
def test_what_was_not_waited_for_is_unfinished_and_what_nothing_came_of_is_lost(
    ended: bool, lost: int, unanswered: int
) -> None:
    small, large = followed("digits"), followed("digits-wide")
    small.tally.sent, small.tally.unanswered = 23, 1
    small.tally.count_missing(ended=ended)
    assert (small.tally.lost, small.tally.unanswered) == (lost, unanswered)
    judgement = judged(small, large)
    assert len(judgement.broken) == (1 if lost else 0)
    assert [f"{unanswered} of 23 requests to digits" in line for line in judgement.unfinished] == [True]


def test_what_the_demo_did_not_come_to_is_not_judged() -> None:
    small, large = followed("digits"), followed("digits-wide")
    small.seen.refused.clear()
    del small.seen.seconds_to_serving[ROLLBACK]
    assert judged(small, large, finished=False) == Judgement((), ())


@pytest.mark.parametrize(
    ("outcome", "code"),
    [
        (Outcome(), ExitCode.DONE),
        (Outcome(late=["slow"]), ExitCode.DONE),
        (Outcome(unfinished=["never came"]), ExitCode.NOT_CONVERGED),
        (Outcome(unfinished=["never came"], broken=["wrong"]), ExitCode.FAILED),
    ],
)
def test_lateness_is_no_failure_and_what_never_came_has_a_code_of_its_own(outcome: Outcome, code: ExitCode) -> None:
    assert outcome.exit_code is code


ROW = RegionState(
    region="eu", state=State.SERVING, aspired_version=2, aspired_generation=2, aspired_digest="", staged_version=2,
    staged_generation=2, served_version=2, served_generation=2, pods_serving=1, pods_expected=1, behind_since_us=0,
    silent=False, bytes_moved=5, bytes_saved=5, bytes_total=10, bytes_planned=5, way="delta from 1",
)  # fmt: skip


def state(row: RegionState) -> VersionState:
    return VersionState("r", "digits", 2, 2, None, 0, None, 0.0, 0, 0, 0, regions=(row,))


def test_the_first_report_of_a_region_that_serves_what_was_asked_stops_its_clock() -> None:
    seen = Seen()
    for now in (13.0, 19.0):
        seen.take(state(ROW), Asked("2", 2, 10.0), now)
    assert seen.seconds_to_serving == {"2": {"eu": 3.0}}
    assert seen.crossings == {"2": {"eu": Crossing(5, 5, 10, "delta from 1")}}


def test_what_is_served_again_did_not_cross() -> None:
    seen = Seen()
    seen.take(state(replace(ROW, served_version=1, aspired_version=1)), Asked(ROLLBACK, 1, 10.0), 11.0)
    assert (seen.seconds_to_serving, seen.crossings) == ({ROLLBACK: {"eu": 1.0}}, {})


def test_a_region_that_goes_back_to_a_version_keeps_how_it_came() -> None:
    """After the next version was refused; nothing moves for it then."""
    seen = Seen()
    for row in (ROW, replace(ROW, bytes_moved=0, bytes_saved=0, way="")):
        seen.take(state(row), Asked("2", 2, 10.0), 11.0)
    assert seen.crossings == {"2": {"eu": Crossing(5, 5, 10, "delta from 1")}}


def test_progress_and_refusals_are_remembered() -> None:
    seen = Seen()
    seen.take(state(replace(ROW, state=State.FETCHING, bytes_moved=1)), Asked(), 0.0)
    seen.take(state(replace(ROW, state=State.QUARANTINED, error="wrong bytes")), Asked(), 0.0)
    assert (seen.progress, seen.refused) == ({"eu"}, {2: {"eu": "wrong bytes"}})
