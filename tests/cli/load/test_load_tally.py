"""What a load tells of each version, and request bodies that fit a model."""

import random

import pytest

from modelcast.cli.load.bodies import made_up
from modelcast.cli.load.tally import Ended, LoadTally, VersionLoad
from modelcast.schemas.errors import ContentError


def answered(at: float, version: int | None, *, seconds: float = 0.01, late: float = 0.0, user: str = "") -> Ended:
    return Ended(at, at + late, at + seconds, version, "", user)


def test_each_version_is_told_by_itself_and_what_none_answered_last() -> None:
    tally = LoadTally()
    for n in range(100):
        tally.add(answered(float(n), 7, seconds=0.001 * (n + 1)))
    tally.add(answered(200.0, 8))
    tally.add(Ended(201.0, 201.0, 201.5, 8, "http://a: 500 no"))
    tally.add(Ended(202.0, 202.0, 212.0, None, "http://a: no answer within 10 s"))
    report = tally.report()
    assert report.versions == (
        VersionLoad(7, 100, 0, pytest.approx(0.05), pytest.approx(0.099)),  # type: ignore[arg-type]
        VersionLoad(8, 2, 1, pytest.approx(0.01), pytest.approx(0.01)),  # type: ignore[arg-type]
        VersionLoad(None, 1, 1, None, None),
    )
    assert (report.requests, report.failures) == (103, 2)
    assert report.examples == ("http://a: 500 no", "http://a: no answer within 10 s")


def test_a_latency_begins_when_the_request_was_due() -> None:
    tally = LoadTally()
    tally.add(answered(1.0, 7, seconds=0.5, late=0.4))
    report = tally.report()
    assert report.versions[0].p50_seconds == 0.5
    assert report.sent_late_seconds == pytest.approx(0.4)


def test_what_was_not_sent_is_a_failure() -> None:
    tally = LoadTally()
    tally.not_sent = 3
    report = tally.report()
    assert (report.requests, report.failures, report.not_sent, report.versions) == (3, 3, 3, ())


def test_versions_that_are_not_expected_are_counted() -> None:
    tally = LoadTally(frozenset({8}))
    for version in (8, 7, None):
        tally.add(answered(1.0, version))
    assert tally.report().wrong_version == 2
    anyone = LoadTally()
    anyone.add(answered(1.0, 7))
    assert anyone.report().wrong_version == 0


def test_a_user_who_meets_again_what_he_had_left_went_back() -> None:
    def went_back(*versions: int, gap: float = 1.0) -> int:
        tally = LoadTally()
        for n, version in enumerate(versions):
            tally.add(answered(gap * n, version, seconds=0.5, user="ann"))
        tally.add(answered(50.0, 7, user="bob"))
        return tally.report().went_back

    assert went_back(7, 7, 8, 8) == 0
    assert went_back(7, 8, 7, 8) == 2
    assert went_back(7, 8, 7, gap=0.1) == 0, "those that overlap have no order"


def test_bodies_fit_the_model() -> None:
    metadata = {
        "inputs": [
            {"name": "x", "datatype": "FP32", "shape": [-1, 3]},
            {"name": "n", "datatype": "INT64", "shape": [2]},
            {"name": "t", "datatype": "BYTES", "shape": [1]},
            {"name": "b", "datatype": "BOOL", "shape": []},
        ]
    }
    bodies = made_up(metadata, random.Random(0), 5)
    x, n, t, b = bodies[0]["inputs"]
    assert (x["shape"], len(x["data"]), n["shape"], b["shape"]) == ([1, 3], 3, [2], [])
    assert all(isinstance(value, kind) for each, kind in ((x, float), (n, int), (t, str), (b, bool))
               for value in each["data"])  # fmt: skip
    assert len({str(body) for body in bodies}) == 5
    for wrong in ({}, {"inputs": []}, {"inputs": [{"name": "x", "datatype": "FP32", "shape": [10**7]}]}):
        with pytest.raises(ContentError):
            made_up(wrong, random.Random(0))
