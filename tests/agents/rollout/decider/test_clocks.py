"""How far the regions' clocks are apart, by what Kafka stamped their records with."""

from modelcast.agents.rollout.decider.clocks import FORGET_US, apart_text, apart_us, with_clock
from modelcast.agents.rollout.decider.facts import ControllerState

REGIONS = ("eu", "us")


def known(**behind_us: list[int]) -> ControllerState:
    state = ControllerState("fraud", REGIONS)
    for region, seen in behind_us.items():
        for each in seen:
            state = with_clock(state, region, each)
    return state


def test_the_quickest_record_shows_the_clock() -> None:
    state = known(eu=[90_000, 4_000, 60_000], us=[300_000, 34_000])
    assert apart_us(state, REGIONS) == 34_000 - (4_000 + FORGET_US)
    assert apart_text(state, REGIONS) == "the clocks of us and eu are 29 ms apart at most"


def test_a_clock_that_drifts_is_followed_and_one_that_is_set_at_once() -> None:
    drifted = known(eu=[0, *[50_000] * 100], us=[0])
    assert apart_us(drifted, REGIONS) == 50_000
    assert apart_us(known(eu=[0, 86_400_000_000], us=[0]), REGIONS) == 86_400_000_000
    assert apart_us(known(eu=[0, -86_400_000_000], us=[0]), REGIONS) == 86_400_000_000


def test_what_is_not_known_is_not_called_alike() -> None:
    assert "not known" in apart_text(known(), REGIONS)
    assert with_clock(known(eu=[1]), "eu", None) == known(eu=[1])
    assert apart_text(known(eu=[1]), ("eu",)) == "one clock decides"
