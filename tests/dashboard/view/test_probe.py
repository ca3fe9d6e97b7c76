"""The probe as it is shown: hop by hop, over all partitions, and never younger than it is."""

from modelcast.dashboard.view.probe import ProbeBoard, SeenProbe
from modelcast.schemas.probes import ProbeRegion, ProbeState
from tests.dashboard.makers import NOW, REGISTRY, SECOND

DAY = NOW // (86_400 * SECOND)


def told(
    partition: int, sent_us: int, *regions: ProbeRegion, day: int = DAY, trouble: str = "", lost: int = 0
) -> ProbeState:
    return ProbeState(
        REGISTRY, partition, f"{partition}-{sent_us}", "w", 30.0, sent_us, sent_us, 0.012, 0.008, 0.02,
        sent_us + SECOND // 10, day, 10, lost, trouble, regions,
    )  # fmt: skip


def region(
    name: str, seconds: float | None, *, answered_us: int = NOW, asked: bool = True, lost: int = 0
) -> ProbeRegion:
    return ProbeRegion(name, answered_us, seconds, asked, lost)


def test_nothing_is_shown_before_a_probe_was_seen() -> None:
    assert ProbeBoard().view(NOW) is None


def test_the_newest_probe_is_shown_and_what_was_lost_on_all_partitions() -> None:
    board = ProbeBoard()
    board.take(
        SeenProbe(told(3, NOW - 40 * SECOND, region("eu", 0.5), region("us", None, answered_us=7, lost=2), lost=2))
    )
    board.take(
        SeenProbe(told(4, NOW - 10 * SECOND, region("eu", 0.1), region("us", None, answered_us=5, lost=1), lost=1), 0.3)
    )
    view = board.view(NOW)
    assert view is not None
    assert (view.log_seconds, view.kafka_seconds, view.tracker_seconds, view.page_seconds) == (0.012, 0.008, 0.02, 0.3)
    assert (view.answered, view.asked) == (1, 2)
    assert (view.lost_today, view.finished_today) == (3, 20)
    assert [(row.region, row.lost_today, row.answered_at_us) for row in view.regions] == [("us", 3, 7), ("eu", 0, NOW)]


def test_quantiles_are_of_the_regions_that_answered() -> None:
    board = ProbeBoard()
    rows = [region(f"r{n}", n / 100) for n in range(200)] + [region("away", None, asked=False)]
    board.take(SeenProbe(told(0, NOW, *rows)))
    view = board.view(NOW)
    assert view is not None
    assert (view.answered, view.asked) == (200, 200)
    assert (view.region_seconds_p50, view.region_seconds_p95) == (1.0, 1.9)


def test_yesterdays_losses_are_not_todays() -> None:
    board = ProbeBoard()
    board.take(SeenProbe(told(3, NOW - 40 * SECOND, region("eu", None, lost=4), day=DAY - 1, lost=4)))
    view = board.view(NOW)
    assert view is not None
    assert (view.lost_today, view.finished_today, view.regions[0].lost_today) == (0, 0, 0)


def test_when_no_probe_comes_any_more_that_is_said() -> None:
    board = ProbeBoard()
    board.take(SeenProbe(told(3, NOW, region("eu", 0.1), trouble="us did not answer in 60 s")))
    soon, late = board.view(NOW + 60 * SECOND), board.view(NOW + 600 * SECOND)
    assert soon is not None
    assert late is not None
    assert soon.trouble == "us did not answer in 60 s"
    assert late.trouble == "no probe since 10 min: no tracker runs, or its probe_seconds is 0"


def test_a_hop_to_the_page_stays_while_the_same_probe_is_told_of_again() -> None:
    board, state = ProbeBoard(), told(3, NOW, region("eu", 0.1))
    board.take(SeenProbe(state, 0.25))
    board.take(SeenProbe(state))
    view = board.view(NOW)
    assert view is not None
    assert view.page_seconds == 0.25
    board.take(SeenProbe(told(3, NOW + SECOND, region("eu", 0.1))))
    view = board.view(NOW + SECOND)
    assert view is not None
    assert view.page_seconds is None
