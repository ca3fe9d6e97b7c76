"""What the metrics say of a candidate that was cut off here, and for how long."""

from prometheus_client import REGISTRY

from modelcast.agents.region.traffic.decider.knowledge import RegionTraffic, TimePassed
from modelcast.agents.region.traffic.notices import LoggedTraffic
from tests.agents.region.traffic.words import cut_off
from tests.agents.region.words import MODEL


def shown(before: RegionTraffic, after: RegionTraffic) -> tuple[float | None, float | None]:
    """Whether a candidate is cut off, and when one was last."""
    LoggedTraffic().divided(before, TimePassed(), after, ())
    value = REGISTRY.get_sample_value
    return (
        value("modelcast_candidate_cut", {"model": MODEL}),
        value("modelcast_candidate_cut_timestamp_seconds", {"model": MODEL}),
    )


def test_a_cut_is_shown_while_the_rollout_lasts_and_its_time_for_longer() -> None:
    region = cut_off()
    cut = region.traffic
    assert cut.cut is not None
    at = cut.cut.at_us / 1_000_000
    assert at > 0
    assert shown(RegionTraffic("r", MODEL, "eu", "worker", 1), cut) == (1, at)
    region.log.abort()
    region.folds()
    assert shown(cut, region.traffic) == (0, at)  # else the alert would last until the next rollout
