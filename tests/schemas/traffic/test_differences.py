"""Differences of cumulative counts: what is lost, late, doubled, or of a process that is gone, never counts twice."""

import random
from dataclasses import replace
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from modelcast.schemas.evidence.counts import Arm
from modelcast.schemas.traffic.differences import arm_of, counted_between, is_newer, quantile_us
from modelcast.schemas.traffic.reports import (
    LATENCY_BOUNDS_US,
    LATENCY_BUCKETS,
    PodCounts,
    VersionCounts,
    latency_bucket,
)
from tests.schemas.traffic.makers import digest_of_version


def report(sequence: int, *versions: VersionCounts, incarnation: str = "a", started_at_us: int = 1) -> PodCounts:
    return PodCounts("registry", "fraud", "eu", "eu-0", incarnation, started_at_us, sequence, sequence * 1_000_000,
                     versions=versions)  # fmt: skip


def counts(requests: int, failed: int = 0, version: int = 7, **fields: int) -> VersionCounts:
    return VersionCounts(
        version,
        digest_of_version(version),
        True,
        requests,
        failed,
        latency=(0, requests),
        **fields,  # type: ignore[arg-type]
    )


def test_the_first_report_is_where_counting_begins() -> None:
    assert counted_between(None, report(1, counts(100))) == ()


def test_a_later_report_counts_what_came_since() -> None:
    (found,) = counted_between(report(1, counts(100, 3)), report(2, counts(150, 5)))
    assert (found.requests, found.failed, found.latency) == (50, 2, (0, 50))


def test_a_version_that_was_not_there_before_counts_from_nothing() -> None:
    both = counted_between(report(1, counts(100)), report(2, counts(100), counts(4, 1, version=8)))
    assert [(each.version, each.requests) for each in both] == [(7, 0), (8, 4)]


def test_a_new_process_counts_from_nothing_and_the_one_before_it_is_forgotten() -> None:
    old, new = report(90, counts(1_000)), report(1, counts(5), incarnation="b", started_at_us=2)
    assert [each.requests for each in counted_between(old, new)] == [5]
    late = replace(old, sequence=91)
    assert counted_between(new, late) == ()
    assert not is_newer(late, new)


def test_a_counter_that_falls_is_not_believed() -> None:
    assert counted_between(report(1, counts(100)), report(2, counts(90))) == ()


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 5)), min_size=2, max_size=30), st.randoms())
def test_lost_doubled_and_disordered_reports_never_add_what_was_not_there(
    steps: list[tuple[int, int]], rng: random.Random
) -> None:
    total, failed, reports = 0, 0, []
    for sequence, (more, errors) in enumerate(steps):
        total, failed = total + more, failed + min(errors, more)
        reports.append(report(sequence, counts(total, failed)))
    heard = [reports[0], *(each for each in reports[1:-1] for _ in range(rng.choice((0, 1, 2)))), reports[-1]]
    for at in range(1, len(heard) - 2):
        if rng.random() < 0.3:
            heard[at], heard[at + 1] = heard[at + 1], heard[at]
    newest, requests, errors = None, 0, 0
    for each in heard:
        for found in counted_between(newest, each):
            requests, errors = requests + found.requests, errors + found.failed
        newest = each if is_newer(each, newest) else newest
    first, last = reports[0].versions[0], reports[-1].versions[0]
    assert (requests, errors) == (last.requests - first.requests, last.failed - first.failed)


def test_an_answer_that_is_no_number_is_an_error_for_the_evidence() -> None:
    found = counts(100, 2, timed_out=1, bad_answers=4, slow=9, slow_harmful=5, slow_harmless=2)
    assert arm_of(found) == Arm(100, 7, 9, 5, 2)
    assert arm_of(counts(3, 2, bad_answers=3)).errors == 3, "one request is one error at most"


def test_a_quantile_is_the_upper_bound_of_its_bucket() -> None:
    fast, slow = latency_bucket(100), latency_bucket(10_000)
    row = [0] * LATENCY_BUCKETS
    row[fast], row[slow] = 99, 1
    assert quantile_us([tuple(row)], 0.99) == LATENCY_BOUNDS_US[fast]
    assert quantile_us([tuple(row)], 0.995) == LATENCY_BOUNDS_US[slow]
    assert quantile_us([], 0.99) == 0
    assert quantile_us([(0,) * (LATENCY_BUCKETS - 1) + (1,)], 0.5) > LATENCY_BOUNDS_US[-1]


def test_every_latency_has_its_bucket() -> None:
    assert [latency_bucket(us) for us in (0, 50, 50.1, 1e12)] == [0, 0, 1, LATENCY_BUCKETS - 1]
    assert all(a < b for a, b in pairwise(LATENCY_BOUNDS_US))
