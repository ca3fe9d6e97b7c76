"""Since when a store does not answer."""

from modelcast.agents.tracker.decider.silence import Silence

AT_US = 1_000_000_000_000_000


def test_silence_is_said_with_its_beginning_once_it_is_no_hiccup() -> None:
    found = Silence()
    assert found.unanswered("m", 0.0, AT_US) == ""
    assert found.unanswered("other", 10.0, AT_US + 10_000_000) == ""
    assert found.unanswered("m", 10.0, AT_US + 10_000_000) == "2001-09-09 01:46:40Z"
    found.answered("m")
    assert found.unanswered("m", 11.0, AT_US + 11_000_000) == ""
