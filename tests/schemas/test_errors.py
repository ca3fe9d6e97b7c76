"""An error that has to be short keeps what a person can do next."""

from modelcast.schemas.errors import ModelcastError


def test_what_was_wrong_is_cut_and_the_hint_stays_whole() -> None:
    error = ModelcastError("a long traceback " * 20, subject="fraud/7", hint="give the pod more memory")
    short = error.within(100)
    assert len(short) == 100
    assert short.startswith("fraud/7: a long traceback")
    assert short.endswith("… (give the pod more memory)")


def test_what_is_short_enough_or_has_no_hint_says_what_it_says_otherwise() -> None:
    hinted = ModelcastError("full", subject="disk", hint="make room")
    assert hinted.within(100) == str(hinted) == "disk: full (make room)"
    assert ModelcastError("x" * 200).within(100) == "x" * 100
    assert hinted.within(5) == "disk:"
