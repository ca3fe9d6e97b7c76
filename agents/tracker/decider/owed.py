"""Since when a region owes what it does not serve: from the log alone, by the store's clock."""

from collections.abc import Mapping

from modelcast.agents.tracker.decider.tally import Group
from modelcast.schemas.log.fold import ModelLog
from modelcast.schemas.log.region_view import RegionView


def owed_generations(log: ModelLog, region: str, behind: tuple[Group, ...] | None) -> tuple[int, ...]:
    """The entries that wait to be served, as generations.

    Args:
        log: the model's log.
        region: whose debt it is.
        behind: the region's pods that do not serve the aspired version; None if it never reported. Pods that
            serve nothing at all (just started, unreachable) owe only what is aspired now: they may have served
            everything before.
    """
    aspired, view = log.aspired_version(region), log.view(region)
    if aspired is None:
        return ()
    serving = () if behind is None else tuple(g for g in behind if g.confirmed)
    if behind is not None and not serving:
        return (_set_by(view, aspired),)
    floor = min((g.generation_min for g in serving), default=0)
    until = view.generation
    if view.pinned_version == aspired:
        until = view.pin_generation
    elif view.paused:
        until = view.pause_generation
    owed = {g for g, version in view.activations if g <= until and version not in log.quarantined}
    owed.add(view.pin_generation)
    owed.add(log.released.get(aspired, 0))
    if not view.paused:
        owed.add(view.pause_generation)
    owed.update(log.quarantined.get(g.version, 0) for g in serving if g.version is not None)
    return tuple(sorted(g for g in owed if g > floor)) or (_set_by(view, aspired),)


def _set_by(view: RegionView, aspired: int) -> int:
    """The entry that made the region aspire to what it does."""
    if view.pinned_version == aspired:
        return view.pin_generation
    return max((g for g, version in view.activations if version == aspired), default=view.generation)


def waiting_since_us(owed: tuple[int, ...], entry_times_us: Mapping[int, int]) -> int | None:
    """When the store received the oldest of them; None if nothing is owed, or no time is known."""
    return min((entry_times_us[g] for g in owed if g in entry_times_us), default=None)
