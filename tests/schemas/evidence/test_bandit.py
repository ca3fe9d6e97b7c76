"""Thompson sampling by batches: shares follow what came, stay above the floor, and can be computed again."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelcast.schemas.errors import DecodeError
from modelcast.schemas.evidence.bandit import (
    REMEMBERED,
    BanditBatch,
    Discounted,
    best_chances,
    candidate_share,
    candidate_shares,
    thompson_shares,
)
from modelcast.schemas.evidence.counts import SHARES
from modelcast.schemas.evidence.gates import AnalysisPlan, OutcomeGate
from modelcast.schemas.evidence.means import MICRO, Moments
from modelcast.schemas.evidence.replay import Evidence, decode_evidence, encode_evidence, replayed

REQUESTS, BATCH, FLOOR = 50_000, 500, 500
MEANS, DROPPED = np.array([0.05, 0.06, 0.08]), np.array([0.05, 0.06, 0.03])


def ones(count: int, of: int) -> Moments:
    return Moments(of, count * MICRO, count * MICRO * MICRO)


def batches_regret(seed: int, *, late: int, drops: bool) -> float:
    """What a request's best version would have brought more, in all, by batches."""
    chance, means, regret = np.random.default_rng(seed), MEANS, 0.0
    arms, waiting, shares = [Discounted()] * 3, [], thompson_shares([Discounted()] * 3, FLOOR)
    for at in range(0, REQUESTS, BATCH):
        if drops and at >= REQUESTS // 2:
            means = DROPPED
        counts = chance.multinomial(BATCH, np.array(shares) / SHARES)
        assert min(shares) >= FLOOR
        regret += float((counts * (means.max() - means)).sum())
        waiting.append((at + BATCH + late, counts, chance.binomial(counts, means)))
        came = [each for each in waiting if each[0] <= at + BATCH]
        waiting = [each for each in waiting if each[0] > at + BATCH]
        for arm in range(3):
            total = sum(int(n[arm]) for _, n, _ in came), sum(int(k[arm]) for _, _, k in came)
            arms[arm] = arms[arm].after(ones(total[1], total[0]))
        shares = thompson_shares(arms, FLOOR)
    return regret


def ideal_regret(seed: int, *, late: int, drops: bool) -> float:
    """The same of Thompson sampling that draws for each request, and is told when the means have changed."""
    chance, means, regret = np.random.default_rng(seed), MEANS, 0.0
    won, lost, waiting, first = np.ones(3), np.ones(3), [], 0
    at_random = 3 * FLOOR / SHARES
    for at in range(REQUESTS):
        if drops and at == REQUESTS // 2:
            means, won, lost = DROPPED, np.ones(3), np.ones(3)
        arm = int(chance.integers(3)) if chance.random() < at_random else int(np.argmax(chance.beta(won, lost)))
        regret += float(means.max() - means[arm])
        waiting.append((at + late, arm, chance.random() < means[arm]))
        while first < len(waiting) and waiting[first][0] <= at:
            _, known, hit = waiting[first]
            won[known], lost[known], first = won[known] + hit, lost[known] + (not hit), first + 1
    return regret


@pytest.mark.parametrize(
    ("late", "drops", "most"),
    [(0, False, 1.4), (3_000, False, 1.4), (0, True, 2.5), (3_000, True, 1.5)],
    ids=["at once", "late", "the best one becomes the worst", "and late"],
)
def test_it_loses_little_against_an_ideal_that_draws_for_each_request_and_is_told_of_changes(
    late: int, drops: bool, most: float
) -> None:
    """Fixed seeds. Of ten thousand requests late by ten minutes at five a second, three thousand are under way."""
    found = np.mean([batches_regret(seed, late=late, drops=drops) for seed in range(8)])
    ideal = np.mean([ideal_regret(seed, late=late, drops=drops) for seed in range(2)])
    assert found / ideal <= most
    halves = (MEANS, DROPPED if drops else MEANS)
    equal = sum(REQUESTS / 2 * (half.max() - half.mean()) for half in halves)
    assert found <= 0.6 * equal, "and much less than equal shares would have lost"


def test_chances_are_those_of_draws() -> None:
    arms = [Discounted(1000, 50, 50), Discounted(1000, 60, 60), Discounted(300, 20, 20)]
    found = best_chances(arms)
    draws = np.random.default_rng(1)
    mean, count = 130 / 2300, 2300
    variance = 130 / count - mean * mean
    values = np.stack(
        [draws.normal((a.total + mean) / (a.count + 1), np.sqrt(variance / (a.count + 1)), 200_000) for a in arms]
    )
    drawn = np.bincount(values.argmax(0), minlength=3) / 200_000
    assert found == pytest.approx(tuple(drawn), abs=0.005)
    lower = best_chances(arms, higher_is_better=False)
    assert lower[0] > 0.5 > lower[1]


def test_nothing_is_known_before_anything_came_and_of_what_is_all_alike() -> None:
    assert best_chances([Discounted()] * 2) == (0.5, 0.5)
    assert best_chances([Discounted(5, 5, 5)] * 4) == (0.25,) * 4
    assert thompson_shares([Discounted()] * 3, 500) in {(3334, 3333, 3333), (3333, 3334, 3333), (3333, 3333, 3334)}


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 2000), st.booleans()), max_size=12),
    st.integers(1, 4_999),
    st.booleans(),
)
def test_shares_keep_to_the_floor_wait_for_proof_and_are_replayed(
    drawn: list[tuple[int, int, bool]], floor: int, higher: bool
) -> None:
    batches = tuple(BanditBatch(ones(a // 3, a), ones(b // 2, b), proved) for a, b, proved in drawn)
    shares = tuple(candidate_shares(batches, floor, higher_is_better=higher))
    assert all(floor <= share <= SHARES - floor for share in shares)
    first = next((n for n, batch in enumerate(batches) if batch.proved), len(batches))
    assert set(shares[:first]) <= {floor}
    last = candidate_share(batches, floor, higher_is_better=higher)
    assert last == (shares[-1] if shares else floor)
    plan = AnalysisPlan(outcomes=(OutcomeGate("ctr", higher_is_better=higher),))
    evidence = decode_evidence(encode_evidence(Evidence(plan, (), batches=batches, floor=floor)))
    assert (evidence.batches, replayed(evidence).shares) == (batches, shares)


def test_what_was_long_ago_counts_little() -> None:
    arm = Discounted().after(ones(100, 100))
    for _ in range(100):
        arm = arm.after(Moments())
    assert arm.count == pytest.approx(100 * REMEMBERED**100)


def test_the_shares_of_these_batches_are_kept_for_ever() -> None:
    """On every machine and Python, or what was decided years ago could not be explained any more."""
    batches = [BanditBatch(ones(40 + n, 900), ones(5 + n, 100 + 3 * n), proved=n > 0) for n in range(6)]
    assert tuple(candidate_shares(batches, 500, higher_is_better=True)) == PINNED


PINNED = (500, 7002, 8058, 8832, 9260, 9435)


def test_batches_that_no_plan_could_have_are_no_evidence() -> None:
    batches = (BanditBatch(ones(1, 2), ones(1, 2), True),)
    with pytest.raises(DecodeError):
        decode_evidence(encode_evidence(Evidence(AnalysisPlan(), (), batches=batches, floor=500)))
    plan = AnalysisPlan(outcomes=(OutcomeGate("ctr"),))
    with pytest.raises(DecodeError):
        decode_evidence(encode_evidence(Evidence(plan, (), batches=batches, floor=5_001)))
