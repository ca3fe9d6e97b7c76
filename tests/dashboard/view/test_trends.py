"""Whether a problem grows or shrinks."""

from dataclasses import replace

from modelcast.dashboard.view.problems import Problem
from modelcast.dashboard.view.trends import SAMPLE_SECONDS, SAMPLES, Trends
from modelcast.schemas.statuses import Status

MANY = Problem("model:ranker/8", Status.LATE, "model", "ranker", 12, 20, 1)
ONE = replace(MANY, id="pair:eta@eu", pairs=1, bytes_planned=100, bytes_per_second=7.5)


def test_a_problem_of_many_pairs_is_told_by_their_number_and_one_fetch_by_its_rate() -> None:
    trends = Trends()
    for look, pairs in enumerate((12, 9, 4)):
        trends.sample([replace(MANY, pairs=pairs), ONE], look * SAMPLE_SECONDS)
    assert trends.of([MANY, ONE]) == {MANY.id: (12.0, 9.0, 4.0), ONE.id: (7.5, 7.5, 7.5)}


def test_looks_come_at_their_pace_are_bounded_and_forgotten_with_their_problem() -> None:
    trends = Trends()
    trends.sample([MANY], 0.0)
    trends.sample([MANY], SAMPLE_SECONDS / 2)
    assert trends.of([MANY]) == {}
    for look in range(1, 100):
        trends.sample([MANY], look * SAMPLE_SECONDS)
    assert len(trends.of([MANY])[MANY.id]) == SAMPLES
    trends.sample([], 100 * SAMPLE_SECONDS)
    trends.sample([MANY], 101 * SAMPLE_SECONDS)
    assert trends.of([MANY]) == {}
