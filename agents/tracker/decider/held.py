"""Since when regions are pinned or paused, and how large what a fleet serves is: from the log alone."""

from collections.abc import Iterable, Mapping

from modelcast.schemas.log.fold import ModelLog


def held_since_us(log: ModelLog, regions: Iterable[str], entry_times_us: Mapping[int, int]) -> dict[str, int]:
    """Region to when the store received the entry that holds it, of those that are held; the older of pin and pause."""
    found: dict[str, int] = {}
    for region in regions:
        view = log.view(region)
        by = [view.pin_generation] if view.pinned_version is not None else []
        by += [view.pause_generation] if view.paused else []
        times = [entry_times_us[each] for each in by if each in entry_times_us]
        if times:
            found[region] = min(times)
    return found


def latest_size_bytes(log: ModelLog) -> int:
    """The size of the latest version's artifact; 0: there is none."""
    update = log.updates.get(log.latest_version) if log.latest_version is not None else None
    return update.artifact.size_bytes if update is not None else 0
