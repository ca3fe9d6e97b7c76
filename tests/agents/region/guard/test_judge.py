"""The guard's evidence: what fails is out after a few answers, what does not never is, and reports may be lost."""

import random
from dataclasses import replace

import pytest

from modelcast.agents.region.guard.judge import GuardEvidence
from modelcast.schemas.evidence.gates import AnalysisPlan, PredictionGate, PredictionMeasure
from modelcast.schemas.traffic.reports import PodCounts, VersionCounts
from tests.agents.region.words import MODEL, REGION, REGISTRY, digest

OLD, NEW = digest(1), digest(2)


def report(
    sequence: int,
    control: tuple[int, int],
    candidate: tuple[int, int],
    *,
    pod: str = "a",
    incarnation: str = "i",
    slow: tuple[int, int] = (0, 0),
    bad: int = 0,
) -> PodCounts:
    """Cumulative (requests, errors) of both versions."""
    versions = (
        VersionCounts(1, OLD, True, control[0], control[1], slow=slow[0], slow_harmful=slow[0]),
        VersionCounts(2, NEW, True, candidate[0], candidate[1], slow=slow[1], slow_harmful=slow[1], bad_answers=bad),
    )
    started_at_us = 1 if incarnation == "i" else 2
    return PodCounts(
        REGISTRY, MODEL, REGION, pod, incarnation, started_at_us, sequence, sequence * 1_000_000, versions=versions
    )


def fresh() -> GuardEvidence:
    return GuardEvidence.of(AnalysisPlan(), OLD, NEW).counted(report(0, (0, 0), (0, 0)))


@pytest.mark.parametrize("controls", [1, 10, 99], ids=["half", "a tenth", "a hundredth"])
@pytest.mark.parametrize("how", ["fails", "answers NaN"])
def test_a_candidate_that_always_fails_is_harmful_after_five_answers(controls: int, how: str) -> None:
    evidence = fresh()
    for n in range(1, 6):
        errors, bad = (n, 0) if how == "fails" else (0, n)
        evidence = evidence.counted(report(n, (controls * n, 0), (n, errors), bad=bad))
    assert evidence.harm
    assert "answers of the candidate failed" in evidence.harm


def test_one_and_two_failures_are_no_harm() -> None:
    evidence = fresh().counted(report(1, (10, 0), (1, 1)))
    assert evidence.harm == ""
    assert evidence.counted(report(2, (20, 0), (2, 2))).harm == ""


def test_where_everything_fails_the_candidate_is_not_to_blame() -> None:
    evidence = fresh()
    for n in range(1, 60):
        evidence = evidence.counted(report(n, (10 * n, 10 * n), (10 * n, 10 * n)))
    assert evidence.harm == ""


def test_slow_answers_are_harm_too() -> None:
    evidence = fresh()
    for n in range(1, 200):
        evidence = evidence.counted(report(n, (100 * n, 0), (10 * n, 0), slow=(n, 5 * n)))
    assert evidence.harm.startswith("latency: ")


def test_a_report_that_is_lost_doubled_or_late_changes_nothing() -> None:
    whole = fresh()
    reports = [report(n, (50 * n, n // 7), (5 * n, n // 3)) for n in range(1, 40)]
    for each in reports:
        whole = whole.counted(each)
    rng = random.Random(5)
    torn = fresh()
    for each in reports:
        if rng.random() < 0.5 or each is reports[-1]:
            torn = torn.counted(each)
        if rng.random() < 0.5:
            torn = torn.counted(rng.choice(reports[: each.sequence]))
    assert torn.state.candidate == whole.state.candidate
    assert torn.state.control == whole.state.control


def test_a_restarted_pod_counts_from_zero_and_an_older_process_counts_no_more() -> None:
    evidence = fresh().counted(report(5, (100, 0), (10, 0)))
    again = evidence.counted(report(1, (30, 0), (3, 0), incarnation="j"))
    assert again.state.candidate.requests == 13
    assert again.counted(report(9, (1000, 0), (100, 90))) == again


def test_what_was_counted_before_the_guard_looked_is_no_evidence() -> None:
    evidence = GuardEvidence.of(AnalysisPlan(), OLD, NEW).counted(report(7, (10_000, 0), (1_000, 1_000)))
    assert evidence.state.candidate.requests == 0
    assert evidence.harm == ""


def test_a_pod_that_left_is_forgotten_but_not_what_it_counted() -> None:
    evidence = fresh().counted(report(1, (10, 0), (5, 1)))
    left = evidence.only(frozenset({"b"}))
    assert not left.last
    assert left.state == evidence.state


def test_a_healthy_candidate_is_seldom_cut_off() -> None:
    """At most half of the plan's alpha: 1 of 200 rollouts on average."""
    rng, cut = random.Random(3), 0
    for _ in range(200):
        evidence, old, new = replace(fresh()), [0, 0], [0, 0]
        for second in range(1, 121):
            for arm, requests in ((old, 90), (new, 10)):
                arm[0] += requests
                arm[1] += sum(rng.random() < 0.01 for _ in range(requests))
            evidence = evidence.counted(report(second, (old[0], old[1]), (new[0], new[1])))
        cut += bool(evidence.harm)
    assert cut <= 3


def test_a_candidate_that_answers_everything_alike_is_harmful_where_the_plan_asks_for_it() -> None:
    def looked(n: int) -> PodCounts:
        counts = report(n, (30 * n, 0), (n, 0))
        control, candidate = counts.versions
        versions = (replace(control, looked=30 * n, repeated=n), replace(candidate, looked=n, repeated=n))
        return replace(counts, versions=versions)

    gates = (PredictionGate(PredictionMeasure.CONSTANT, 0.1, 0.2),)
    told = GuardEvidence.of(AnalysisPlan(predictions=gates), OLD, NEW).counted(report(0, (0, 0), (0, 0)))
    untold = fresh()
    for n in range(1, 13):
        told, untold = told.counted(looked(n)), untold.counted(looked(n))
    assert told.harm == "constant: 12 answers of the candidate, 12 of the control"
    assert untold.harm == ""
