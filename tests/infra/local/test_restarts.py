"""How long the supervisor waits before it starts again what died."""

from modelcast.infra.local.supervisor import CALM_SECONDS, PAUSE_SECONDS_MAX, Restarts


def test_pauses_double_up_to_a_limit_while_a_part_keeps_dying() -> None:
    restarts, now, pauses = Restarts(), 1000.0, []
    restarts.started("pod", now)
    for _ in range(7):
        now += 1
        pauses.append(restarts.died("pod", now))
        assert restarts.due["pod"] == now + pauses[-1]
        now += pauses[-1]
        restarts.started("pod", now)
        assert "pod" not in restarts.due
    assert pauses == [1, 2, 4, 8, 16, PAUSE_SECONDS_MAX, PAUSE_SECONDS_MAX]


def test_a_part_that_ran_for_long_starts_over_with_the_shortest_pause() -> None:
    restarts = Restarts()
    for now in (1000.0, 1002.0, 1005.0):
        restarts.died("pod", now)
        restarts.started("pod", now + 1)
    assert restarts.died("pod", 1006.0 + CALM_SECONDS) == 1


def test_parts_are_counted_apart() -> None:
    restarts = Restarts()
    restarts.started("a", 0.0)
    restarts.started("b", 0.0)
    restarts.died("a", 1.0)
    restarts.died("a", 2.0)
    assert restarts.died("b", 3.0) == 1
