"""Which pods are ordered now, and why the others wait: each row is a fleet, a policy, and what must come of them."""

import pytest

from modelcast.agents.region.decider.rollover.decide import decide
from modelcast.agents.region.decider.rollover_policy import RolloverPolicy
from modelcast.schemas.text.amounts import Amount
from tests.agents.region.decider.rollover.fleets import NOW, fleet, policy

# fleet, policy, who is ordered, why the rest waits ("": nothing waits)
GAPLESS = [
    # how many at once
    ("a b", {}, "a", "waits for a"),
    ("a b c d e f g h", {}, "a b", "waits for a, b"),
    ("a b c d e f g h", {"at_once": 3}, "a b c", "waits for a, b, c"),
    ("a b c d", {"at_once": "100%"}, "a b c d", ""),
    ("a b c d", {"at_once": "10%"}, "a", "waits for a"),
    ("a:loading b c d", {}, "", "waits for a"),
    ("a:loading b:loading c d", {"at_once": 3}, "c", "waits for a, b, c"),
    ("a:loading b:loading c:loading d:loading e", {"at_once": 4}, "", "waits for a, b, c and 1 more"),
    ("a:done b c d", {}, "b", "waits for b"),
    ("a:done b:done", {}, "", ""),
    # who dies, fails or is new holds up nobody
    ("a:lost b c", {"at_once": 1}, "b", "waits for b"),
    ("a:lost b:done", {}, "", ""),
    ("a:failed@oom b c", {"at_once": 1}, "b", "waits for b"),
    ("a:failed@oom:read b:done", {"at_once": 1}, "", "a failed, to be tried again"),
    ("a:failed@oom b:done", {"at_once": 1}, "a", ""),
    ("a b c:bare", {"at_once": 1}, "c", "waits for c"),
    ("a:read b", {"at_once": 1}, "b", "waits for b"),
    # a pod that serves the bytes already only learns whose they are: that takes nobody's turn
    ("a:loading b:adopts c", {"at_once": 1}, "b", "waits for a"),
    # order
    ("c b a", {"at_once": 1}, "a", "waits for a"),
    ("a/z2 b/z1 c/z2", {"at_once": 2, "order": "zone"}, "b", "waits for b in zone z1"),
    ("a/z2 b/z1:loading c/z2", {"at_once": 2, "order": "zone"}, "", "waits for b in zone z1"),
    ("a/z2 b/z1:done c/z2", {"at_once": 2, "order": "zone"}, "a c", ""),
    ("a/z2 b/z1:failed@oom:read", {"at_once": 2, "order": "zone"}, "a", "b failed, to be tried again"),
    ("a/z2 b/z1:lost", {"at_once": 2, "order": "zone"}, "a", ""),
    ("a/z2:bare b/z1", {"at_once": 2, "order": "zone"}, "a b", ""),
    # pause: between the end of one batch and the beginning of the next
    ("a:done@990 b c", {"at_once": 1, "pause_seconds": 30}, "", "paused between two batches until 1020"),
    ("a:done@970 b c", {"at_once": 1, "pause_seconds": 30}, "b", "waits for b"),
    ("a:done@990 b:loading@989 c d", {"at_once": 2, "pause_seconds": 30}, "", "waits for b"),
    ("a:loading@999 b c", {"at_once": 2, "pause_seconds": 30}, "b", "waits for a, b"),  # b was being read before
    ("a:seen@990 b c", {"at_once": 1, "pause_seconds": 30}, "", "paused between two batches until 1020"),
    ("a:done@990 b:bare c", {"at_once": 1, "pause_seconds": 30}, "b", "paused between two batches until 1020"),
    # a pod that fails again and again does not lengthen the pause
    ("a:done@900 b:failed@oom c", {"at_once": 1, "pause_seconds": 30}, "c", "waits for c"),
    # min_ready: a pod that has just swapped counts as under way
    ("a:done@990 b", {"min_ready_seconds": 30}, "", "waits for a"),
    ("a:done@970 b", {"min_ready_seconds": 30}, "b", ""),
    ("a:done@990 b:bare", {"min_ready_seconds": 30}, "b", ""),
    # one pod loads one model at a time
    ("a:busy@spam b", {"at_once": 1}, "b", "waits for a, which loads spam"),
    ("a:busy@spam b:done", {}, "", "waits for a, which loads spam"),
    # where a swap has no gap, minimum healthy takes nothing from it
    ("a b:lost", {"min_healthy": "100%"}, "a", ""),
]
WITH_A_GAP = [
    ("a b c d", {"at_once": 4}, "a b", "2 of 4 pods take traffic, 2 must (min_healthy)"),
    ("a b c d", {"at_once": 4, "min_healthy": 3}, "a", "3 of 4 pods take traffic, 3 must (min_healthy)"),
    ("a:loading b c d", {"at_once": 4}, "b", "2 of 4 pods take traffic, 2 must (min_healthy)"),
    ("a:lost b", {}, "", "1 of 2 pods take traffic, 1 must (min_healthy); no answer from a"),
    ("a", {}, "a", ""),  # half of one pod is none
    ("a b c:ill", {"at_once": 3, "min_healthy": 2}, "c", "2 of 3 pods take traffic, 2 must (min_healthy)"),
    ("a b:bare c", {"at_once": 3, "min_healthy": 2}, "b", "2 of 3 pods take traffic, 2 must (min_healthy)"),
    ("a:adopts b:adopts", {"at_once": 2, "min_healthy": 2}, "a b", ""),
    ("a b", {"min_healthy": 2}, "", "min_healthy = 2 of 2 pods lets none be swapped, and a swap has a gap there: "
                                    "lower it, or add pods"),
    ("a b", {"min_healthy": "100%"}, "", "min_healthy = 100% of 2 pods lets none be swapped, and a swap has a gap "
                                         "there: lower it, or add pods"),
]  # fmt: skip


def said(pods: str, policy_said: dict[str, object], *, gap: bool) -> tuple[str, str]:
    decision = decide(fleet(pods, gap=gap), policy(**policy_said), NOW)
    until = f" until {decision.waits_until:g}" if decision.waits_until > 0 else ""
    return " ".join(decision.orders), decision.waits + until


@pytest.mark.parametrize(("pods", "given", "ordered", "waits"), GAPLESS)
def test_where_a_swap_has_no_gap(pods: str, given: dict[str, object], ordered: str, waits: str) -> None:
    assert said(pods, given, gap=False) == (ordered, waits)


@pytest.mark.parametrize(("pods", "given", "ordered", "waits"), WITH_A_GAP)
def test_where_a_swap_has_a_gap(pods: str, given: dict[str, object], ordered: str, waits: str) -> None:
    assert said(pods, given, gap=True) == (ordered, waits)


def test_only_a_minimum_that_can_never_be_met_is_blocked() -> None:
    assert decide(fleet("a b", gap=True), policy(min_healthy=2), NOW).blocked
    assert not decide(fleet("a b:lost", gap=True), policy(min_healthy=1), NOW).blocked
    assert not decide(fleet("a:lost b:lost", gap=True), policy(min_healthy=2), NOW).blocked


@pytest.mark.parametrize(
    ("pods", "given", "stops"),
    [
        ("a:failed@oom b c", {"stop_after_failures": 1}, "a failed: oom"),
        ("a:failed@oom b:failed@oom c:loading d", {"stop_after_failures": 2}, "a failed: oom (and b)"),
        ("a:failed@oom b c", {"stop_after_failures": 2}, ""),
        ("a:failed@oom b c", {}, ""),
        ("a:failed b c", {"stop_after_failures": 1}, ""),  # a failure that blames nobody
        ("a:done b c:lost", {"deadline_seconds": 60}, "1 of 3 pods had it after 60 s (deadline_seconds)"),
        ("a:done b:lost", {"deadline_seconds": 60}, ""),  # all that answer have it
        ("a:done b:loading", {"deadline_seconds": 60}, "1 of 2 pods had it after 60 s (deadline_seconds)"),
        ("a:done b", {"deadline_seconds": 600}, ""),
    ],
)
def test_a_rollover_stops_and_says_why(pods: str, given: dict[str, object], stops: str) -> None:
    decision = decide(fleet(pods), policy(**given), NOW, began_at=NOW - 60)
    assert decision.stops == stops
    assert not (stops and decision.orders)


def test_a_rollback_waits_for_no_pause_but_for_the_minimum_healthy() -> None:
    careful = policy(at_once=2, pause_seconds=300, jitter_seconds=60, min_ready_seconds=60, min_healthy=2)
    pods = fleet("a:done@999 e:done@999 b c d", gap=True)
    assert decide(pods, careful, NOW).orders == ()
    assert decide(pods, careful, NOW, hurried=True).orders == ("b", "c")
    pods = fleet("a:done@999 b c:lost d:lost e:lost", gap=True)
    assert decide(pods, careful, NOW, hurried=True).orders == ()


def test_between_two_orders_passes_a_drawn_time() -> None:
    jittered = policy(at_once=8, jitter_seconds=10)
    first = decide(fleet("a b c d e f g h"), jittered, NOW, seed="fraud/7")
    assert first.orders == ("a",)
    pods = fleet(f"a:loading@{NOW} b c d e f g h")
    waits = decide(pods, jittered, NOW, seed="fraud/7")
    assert waits.orders == ()
    assert NOW < waits.ask_again_at <= NOW + 10
    assert decide(pods, jittered, waits.ask_again_at, seed="fraud/7").orders == ("b",)
    others = {decide(pods, jittered, NOW, seed=f"fraud/{n}").ask_again_at for n in range(5)}
    assert len(others) == 5


def test_the_order_is_drawn_anew_for_each_generation_and_kept_within_one() -> None:
    drawn = policy(order="random", at_once=1)
    pods = fleet("a b c d e f g h")
    firsts = {seed: decide(pods, drawn, NOW, seed=seed).orders for seed in map(str, range(20))}
    assert firsts == {seed: decide(pods, drawn, NOW + 5, seed=seed).orders for seed in firsts}
    assert len(set(firsts.values())) > 3


def test_it_asks_again_when_a_pause_a_settling_pod_or_the_deadline_ends() -> None:
    assert decide(fleet("a:done@990 b"), policy(pause_seconds=30, at_once=1), NOW).ask_again_at == 1020
    assert decide(fleet("a:done@990 b"), policy(min_ready_seconds=15, at_once=1), NOW).ask_again_at == 1005
    assert decide(fleet("a:loading b"), policy(deadline_seconds=60), NOW, began_at=NOW - 10).ask_again_at == 1050
    assert decide(fleet("a:loading b"), RolloverPolicy(), NOW).ask_again_at == float("inf")


@pytest.mark.parametrize(("text", "of_10"), [("3", 3), (3, 3), ("25%", 2), ("100%", 10), (" 5% ", 0), ("0", 0)])
def test_amounts_are_numbers_or_shares(text: object, of_10: int) -> None:
    assert Amount.parse(text).of(10) == of_10


@pytest.mark.parametrize("text", ["", "a few", "-1", "1.5", "101%", True, None, "%", "3 pods"])
def test_what_is_no_amount_says_what_to_write(text: object) -> None:
    with pytest.raises(ValueError, match=r"write a number|no share"):
        Amount.parse(text)
