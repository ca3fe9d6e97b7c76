"""Why regions do not have what was published: pins, pauses, quarantines; by whom, and why. Pure."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from modelcast.schemas.records import RegionState, VersionState

if TYPE_CHECKING:
    from modelcast.infra.registry.reader import TimedEntry
    from modelcast.schemas.log.fold import ModelLog


def holds(log: "ModelLog", entries: "Mapping[int, TimedEntry]", regions: Iterable[str]) -> list[str]:
    """A line for each pin and pause that is in force, for people.

    Args:
        log: the model's.
        entries: what stands in it, by generation.
        regions: those to be told of.
    """
    by_line: dict[str, list[str]] = {}
    for region in regions:
        view = log.view(region)
        if view.paused:
            at = "" if view.paused_version is None else f" at version {view.paused_version}"
            line = f"paused{at}{_by(entries, view.pause_generation)}"
            by_line.setdefault(line, []).append(region)
        if view.pinned_version is not None:
            line = f"pinned to version {view.pinned_version}{_by(entries, view.pin_generation)}"
            by_line.setdefault(line, []).append(region)
    return [f"{', '.join(where)}: {line}" for line, where in by_line.items()]


def held_line(row: RegionState) -> str:
    """What holds a region, in a few words; "" if nothing does."""
    pinned = [] if row.pinned_version is None else [f"pinned to {row.pinned_version}"]
    return ", ".join([*pinned, *(["paused"] if row.paused else [])])


def reported_holds(state: VersionState) -> list[str]:
    """A line for whatever holds regions, as the tracker knows it; regions that are held alike share one."""
    by_line: dict[str, list[str]] = {}
    for row in state.regions:
        if line := held_line(row):
            by_line.setdefault(line, []).append(row.region)
    return [f"{', '.join(where)}: {line}" for line, where in by_line.items()]


def _by(entries: "Mapping[int, TimedEntry]", generation: int) -> str:
    from modelcast.producers.planning.refusals import by_whom

    timed = entries.get(generation)
    return by_whom(timed.entry if timed is not None else None)
