"""How far the regions' clocks are apart, for what all of them are to do at one instant. Pure.

Each record of a region holds the time of its clock, and Kafka stamps it when it arrives. The difference is the clock's
error and the record's way; the quickest of many shows the error but for the shortest way, milliseconds.
"""

from collections.abc import Iterable
from dataclasses import replace

from modelcast.agents.rollout.decider.facts import ControllerState
from modelcast.schemas.quantities import number

APART_US_MAX = 1_000_000
"""Clocks that are farther apart know no common instant."""
FORGET_US = 1_000
"""By so much an older record counts as slower with each newer one: a clock that drifts, or is set, is seen."""


def with_clock(state: ControllerState, region: str, behind_us: int | None) -> ControllerState:
    """The state with what one more record shows of a region's clock."""
    if behind_us is None:
        return state
    known = state.clocks_behind_us.get(region)
    least = behind_us if known is None else min(behind_us, known + FORGET_US)
    if abs(behind_us - least) > APART_US_MAX:  # it was set: what older records showed is over
        least = behind_us
    return replace(state, clocks_behind_us={**state.clocks_behind_us, region: least})


def apart_us(state: ControllerState, regions: Iterable[str]) -> int:
    """By how much the clocks of these regions differ, microseconds; regions that were not heard of are left out."""
    known = [state.clocks_behind_us[region] for region in regions if region in state.clocks_behind_us]
    return max(known) - min(known) if known else 0


def apart_text(state: ControllerState, regions: Iterable[str]) -> str:
    """The same for people, with who is how far off."""
    names = [region for region in sorted(regions) if region in state.clocks_behind_us]
    if not names:
        return "how far the regions' clocks are apart is not known"
    first = max(names, key=lambda region: state.clocks_behind_us[region])
    last = min(names, key=lambda region: state.clocks_behind_us[region])
    if first == last:
        return "one clock decides"
    return f"the clocks of {first} and {last} are {number(round(apart_us(state, names) / 1000))} ms apart at most"
