"""A thousand pods: the herd is as large as the policy says, and the rollover takes as long as the formula says."""

import pytest

from modelcast.agents.region.decider.rollover_policy import RolloverPolicy
from modelcast.schemas.text.amounts import Amount
from tests.bench.rollover import LOAD_SECONDS, POLICIES, predicted_seconds, rolled, zones_of


@pytest.mark.soak
@pytest.mark.parametrize("gapless", [True, False])
@pytest.mark.parametrize("name", POLICIES)
def test_a_thousand_pods_are_done_when_it_was_predicted_and_never_more_load_at_once(name: str, gapless: bool) -> None:
    policy = POLICIES[name]
    world, _ = rolled(policy, gapless=gapless)
    assert all(pod.done for pod in world.pods)
    assert world.most_under_way <= policy.at_once_of(len(world.pods))
    predicted = predicted_seconds(policy, zones_of(world), LOAD_SECONDS, gapless=gapless)
    assert world.now == pytest.approx(predicted, rel=0.05)


@pytest.mark.parametrize("pause", [0.0, 30.0])
def test_a_hundred_pods_are_done_when_it_was_predicted(pause: float) -> None:
    policy = RolloverPolicy(Amount(8), pause_seconds=pause, min_ready_seconds=4.0, jitter_seconds=0.2)
    world, _ = rolled(policy, gapless=True, pods=100)
    assert world.most_under_way == 8
    assert world.now == pytest.approx(predicted_seconds(policy, {"": 100}, LOAD_SECONDS, gapless=True), rel=0.05)
