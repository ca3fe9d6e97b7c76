"""A pod loads one model at a time: models that share a pod take turns, and wait for no timeout of each other."""

from modelcast.agents.region.shell.pod_turns import PodTurns


def test_the_first_begins_the_next_are_told_for_whom_they_wait_and_called_in_turn() -> None:
    turns, called = PodTurns(), []
    assert turns.begin("a", "fraud", lambda: called.append("fraud")) == ""
    assert turns.begin("a", "spam", lambda: called.append("spam")) == "fraud"
    assert turns.begin("a", "churn", lambda: called.append("churn")) == "fraud"
    assert turns.begin("b", "spam", lambda: called.append("spam on b")) == ""
    turns.end("a")
    assert called == ["spam", "churn"]
    assert turns.begin("a", "spam", lambda: None) == ""
    turns.end("b")
    assert called == ["spam", "churn"]


def test_who_takes_its_turn_when_called_leaves_the_others_waiting_for_it() -> None:
    turns, told = PodTurns(), []
    turns.begin("a", "fraud", lambda: None)
    for model in ("spam", "churn"):
        turns.begin("a", model, lambda model=model: told.append((model, turns.begin("a", model, lambda: None))))
    turns.end("a")
    assert told == [("spam", ""), ("churn", "spam")]


def test_a_pod_whose_swap_has_a_gap_is_out_for_every_other_model_and_who_watches_is_told_of_its_end() -> None:
    turns, told = PodTurns(), []
    turns.begin("a", "fraud", lambda: None, gapless=False)
    turns.begin("b", "fraud", lambda: None)
    assert turns.out_for_others("spam") == {"a": "fraud"}
    assert turns.out_for_others("fraud") == {}
    turns.watch("spam", lambda: told.append(turns.out_for_others("spam")))
    turns.end("a")
    turns.end("b")
    assert told == [{}]


def test_a_candidate_waits_for_every_load_and_nothing_that_is_to_serve_waits_for_a_candidate() -> None:
    turns, freed = PodTurns(), list[str]()
    assert turns.begin("p", "fraud", lambda: freed.append("fraud"), lane="candidate") == ""
    assert turns.begin("p", "spam", lambda: freed.append("spam"), lane="candidate") == "fraud"
    assert turns.begin("p", "fraud", lambda: freed.append("never")) == ""
    turns.end("p", lane="candidate")
    assert freed == ["spam"]
    assert turns.begin("p", "spam", lambda: freed.append("spam"), lane="candidate") == "fraud"
    turns.end("p")
    assert turns.begin("p", "spam", lambda: None, lane="candidate") == ""
