"""Whatever pods do: never too many at once, never too few that take traffic, and it ends or says why it does not."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from modelcast.agents.region.decider.rollover.decide import decide
from modelcast.agents.region.decider.rollover_policy import RolloverPolicy
from modelcast.schemas.text.amounts import Amount
from tests.agents.region.decider.rollover.world import PodActor, RolloverWorld

MEAN = settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
seconds = st.sampled_from([0.0, 5.0, 60.0])
amounts = st.builds(Amount, st.integers(1, 4)) | st.builds(Amount, st.integers(1, 100), st.just(True))
minima = st.builds(Amount, st.integers(0, 4)) | st.builds(Amount, st.integers(0, 100), st.just(True))
policies = st.builds(
    RolloverPolicy,
    amounts,
    minima,
    st.sampled_from(["name", "zone", "random"]),
    jitter_seconds=seconds,
    pause_seconds=seconds,
    min_ready_seconds=seconds,
    stop_after_failures=st.sampled_from([0, 0, 1, 2]),
    deadline_seconds=st.sampled_from([0.0, 0.0, 200.0]),
)
pods = st.builds(
    PodActor,
    st.just(""),
    st.sampled_from([0.1, 3.0, 30.0]),
    zone=st.sampled_from(["", "z1", "z2"]),
    gapless=st.booleans(),
    bare=st.sampled_from([False, False, False, True]),
    fails=st.sampled_from([0, 0, 0, 1, 3]),
)


@st.composite
def worlds(draw: st.DrawFn) -> RolloverWorld:
    fleet = draw(st.lists(pods, min_size=1, max_size=7))
    for number, pod in enumerate(fleet):
        pod.name = f"p{number}"
    world = RolloverWorld(fleet, draw(policies), hurried=draw(st.booleans()))
    for _ in range(draw(st.integers(0, 4))):
        pod, at = draw(st.sampled_from(fleet)), draw(st.floats(0.0, 120.0))
        world.at(at, lambda pod=pod: world.die(pod))
        if draw(st.booleans()):
            bare = draw(st.booleans())
            world.at(at + draw(st.floats(0.1, 60.0)), lambda pod=pod, bare=bare: world.come_back(pod, bare=bare))
    if draw(st.booleans()):
        world.at(draw(st.floats(0.0, 120.0)), world.take_over)
    return world


@MEAN
@given(worlds())
def test_the_bounds_hold_at_every_order_and_it_ends_or_names_why(world: RolloverWorld) -> None:
    world.run()  # raises where a bound is broken
    left = [pod for pod in world.pods if pod.up and not pod.done]
    decision = world.decision
    assert not left or decision.stops or decision.waits, left
    assert not (decision.stops and decision.orders)
    if decision.stops:
        assert world.policy.stop_after_failures or world.policy.deadline_seconds
    elif left:
        assert "min_healthy" in decision.waits


@MEAN
@given(worlds())
def test_a_decision_depends_on_nothing_but_what_it_is_given(world: RolloverWorld) -> None:
    world.run()
    facts = [pod.facts(world.now) for pod in world.pods]
    same = {decide(list(order), world.policy, world.now, seed="s").orders for order in (facts, facts[::-1])}
    assert len(same) == 1


@MEAN
@given(worlds(), st.integers(1, 8))
def test_more_at_once_is_never_slower_where_nothing_goes_wrong(world: RolloverWorld, more: int) -> None:
    def took(at_once: int) -> float:
        fleet = [PodActor(p.name, p.load_seconds, gapless=True) for p in world.pods]
        again = RolloverWorld(fleet, RolloverPolicy(Amount(at_once)))
        again.run()
        return again.now

    assert took(more + 1) <= took(more) + max(p.load_seconds for p in world.pods)
