"""Models wait in the order in which they came; one that fails holds up no other."""

from modelcast.agents.tracker.decider.waiting import RETRY_SECONDS_MAX, Waiting


def test_whoever_waits_keeps_its_place_and_goes_to_the_end_after_its_turn() -> None:
    waiting = Waiting()
    waiting.update(["a", "b", "c"])
    waiting.add("a")
    assert list(waiting) == ["a", "b", "c"]
    waiting.discard("a")
    waiting.add("a")
    assert list(waiting) == ["b", "c", "a"]


def test_whoever_fails_goes_to_the_end_and_waits_longer_each_time() -> None:
    waiting, now = Waiting(), 100.0
    waiting.update(["a", "b"])
    waits = []
    for _ in range(9):
        waiting.failed("a", now)
        waits.append(waiting.seconds_left("a", now))
    assert list(waiting) == ["b", "a"]
    assert waits[:3] == [1.0, 2.0, 4.0]
    assert waits[-1] == RETRY_SECONDS_MAX
    assert waiting.seconds_left("b", now) == 0
    waiting.succeeded("a")
    assert waiting.seconds_left("a", now) == 0


def test_what_is_not_kept_is_forgotten_with_its_failures() -> None:
    waiting = Waiting()
    waiting.update(["a", "b"])
    waiting.failed("b", 0.0)
    waiting.keep(["a"])
    assert list(waiting) == ["a"]
    assert waiting.seconds_left("b", 0.0) == 0
