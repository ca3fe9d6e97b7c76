"""Checks run side by side: what hangs, fails or breaks hides nothing else."""

import time
from collections.abc import Iterator

from modelcast.cli.doctor.checks import Check, Result, Unit
from modelcast.cli.doctor.running import run_units
from modelcast.schemas.errors import KafkaUnavailable

FINE = Check("fine", Result.ok, "as it must be")


def hangs() -> Iterator[Check]:
    yield FINE
    time.sleep(60)


def breaks() -> Iterator[Check]:
    yield FINE
    raise ZeroDivisionError("oh")


def unreachable() -> Iterator[Check]:
    raise KafkaUnavailable("gone", subject="topic", hint="up?")
    yield FINE


def test_what_hangs_is_given_up_and_named_and_what_it_found_is_shown() -> None:
    began = time.monotonic()
    found = run_units([Unit("store", hangs, 0.3), Unit("other", lambda: iter([FINE]), 0.3), Unit("third", hangs, 0.3)])
    assert time.monotonic() - began < 5
    late = Check("store", Result.unreachable, "no end after 0.3 s", "what it looks at hangs, or is very slow")
    assert found[:3] == [FINE, late, FINE]
    assert [check.subject for check in found[3:]] == ["fine", "third"]


def test_a_check_that_fails_by_itself_is_told_like_any_other() -> None:
    first, broken = run_units([Unit("store", breaks)])
    assert first == FINE
    assert (broken.subject, broken.result) == ("store", Result.error)
    assert "ZeroDivisionError: oh" in broken.detail
    assert broken.hint


def test_an_error_keeps_its_object_and_hint() -> None:
    assert run_units([Unit("kafka", unreachable)]) == [Check("kafka: topic", Result.unreachable, "gone", "up?")]
