"""Outcomes that come again, and how many are remembered."""

from modelcast.agents.rollout.seen_ids import SeenIds


def test_one_that_comes_again_is_known_and_the_oldest_are_forgotten() -> None:
    seen = SeenIds(kept_max=2)
    assert [seen.is_new("ctr", each) for each in ("a", "a", "b")] == [True, False, True]
    assert seen.is_new("sales", "a"), "another outcome of the same answer; ctr's is forgotten"
    assert seen.is_new("ctr", "a")
