"""Kept evidence gives the same verdict again, to the last bit."""

import json
import random
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelcast.schemas.errors import DecodeError
from modelcast.schemas.evidence.counts import Arm, Counts
from modelcast.schemas.evidence.gates import ERRORS, LATENCY, AnalysisPlan, Gate, Measure
from modelcast.schemas.evidence.kinds import Kind
from modelcast.schemas.evidence.replay import Evidence, decode_evidence, encode_evidence, replayed
from modelcast.schemas.evidence.verdict import fold_counts, verdict


def evidence(seconds: int = 200) -> Evidence:
    chance = random.Random(7)

    def arm(requests: int, rate: float) -> Arm:
        slow = sum(chance.random() < 0.01 for _ in range(requests))
        return Arm(requests, sum(chance.random() < rate for _ in range(requests)), slow, slow // 2, slow // 3)

    return Evidence(
        AnalysisPlan(),
        tuple(
            Counts(1_700_000_000 + at, chance.choice(["eu", "us"]), arm(180, 0.005), arm(20, 0.02), 1000)
            for at in range(seconds)
        ),
    )


def test_the_verdict_of_this_evidence_is_kept_for_ever() -> None:
    """On every machine and Python, or what was decided years ago could not be explained any more."""
    found = replayed(evidence())
    assert found.kind is Kind.HARMFUL
    assert [g.log_e_harmful.hex() for g in found.gates] == PINNED_HARMFUL
    assert [g.log_e_harmless.hex() for g in found.gates] == PINNED_HARMLESS
    assert found.log_e_sample_ratio.hex() == PINNED_SAMPLE_RATIO


PINNED_HARMFUL = ["0x1.aa447ffd38d9dp+3", "-0x1.68c7c31fa35e6p+3"]
PINNED_HARMLESS = ["-0x1.2d310eb21d1fap+3", "0x1.e8ba8b2adb21ep+4"]
PINNED_SAMPLE_RATIO = "-0x1.85b2d556de686p+5"


def test_a_round_trip_changes_nothing() -> None:
    kept = evidence()
    read = decode_evidence(encode_evidence(kept))
    assert read == kept
    assert replayed(read) == verdict(fold_counts(kept.counts, kept.plan), kept.plan)


@settings(max_examples=40, deadline=None)
@given(
    st.floats(1, 10),
    st.floats(0, 0.5),
    st.lists(st.tuples(st.integers(0, 10**10), st.text(max_size=3), st.none() | st.integers(0, 10_000)), max_size=5),
)
def test_any_evidence_makes_the_round_trip(
    limit: float, acceptable_rate: float, rows: list[tuple[int, str, int | None]]
) -> None:
    plan = AnalysisPlan(
        gates=(LATENCY, Gate(Measure.ERRORS, limit, limit + 0.1, acceptable_rate)), alpha_harmful=limit / 100
    )
    counts = tuple(Counts(at, name, Arm(at, at // 2), Arm(9, 3, 2, 1), share) for at, name, share in rows)
    assert decode_evidence(encode_evidence(Evidence(plan, counts))) == Evidence(plan, counts)


def test_a_day_of_two_regions_fits_into_two_mebibytes() -> None:
    short = evidence(600)
    assert len(encode_evidence(short)) / 600 * 2 * 86_400 < 4 << 20


def packed(document: object) -> bytes:
    return zlib.compress(json.dumps(document).encode())


GOOD = json.loads(zlib.decompress(encode_evidence(evidence(2))))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"not zlib",
        encode_evidence(evidence(2))[:-9],
        packed([1]),
        packed({}),
        packed({**GOOD, "format": 2}),
        packed({**GOOD, "plan": {}}),
        packed({**GOOD, "plan": {**GOOD["plan"], "alpha_harmful": 7}}),
        packed({**GOOD, "plan": {**GOOD["plan"], "gates": [{"measure": "taste", "harmful": 1, "harmless": 2}]}}),
        packed({**GOOD, "strata": []}),
        packed({**GOOD, "counts": [[0, 0, 0]]}),
        packed({**GOOD, "counts": [[0] * 12]}),
        packed({**GOOD, "counts": [[0, 0, 0, 1, 2, 0, 0, 0, 0, 0, 0, 0, 0]]}),
        packed({**GOOD, "counts": [["x"] * 13]}),
        packed({**GOOD, "counts": 5}),
        zlib.compress(b"[" * 100_000),
    ],
)
def test_what_is_not_evidence_is_refused(data: bytes) -> None:
    with pytest.raises(DecodeError):
        decode_evidence(data)


def test_an_unknown_format_names_itself() -> None:
    with pytest.raises(DecodeError, match="format 2"):
        decode_evidence(packed({**GOOD, "format": 2}))


def test_the_plan_travels_with_the_evidence() -> None:
    plan = AnalysisPlan(gates=(Gate(Measure.ERRORS, 1.0, 3.0),), alpha_harmless=0.05)
    assert decode_evidence(encode_evidence(Evidence(plan, ()))).plan == plan
    assert ERRORS not in plan.gates
