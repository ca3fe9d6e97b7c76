"""Whether every region understands rollouts: an agent that does not stops at the first entry about one."""

from collections.abc import Iterable

from modelcast.schemas.records import RegionHeartbeat

SOFTWARE_KEY = "rollouts"
"""In a heartbeat's ``software``: the level of rollouts that the worker, and every pod it drives, can do."""
LEVEL_NEEDED = 1


def too_old(heartbeats: Iterable[RegionHeartbeat]) -> dict[str, str]:
    """The workers that can't take part, each with why, as ``region worker``.

    Args:
        heartbeats: the newest of each worker that is alive.
    """
    found = {}
    for beat in heartbeats:
        level = beat.software.get(SOFTWARE_KEY, "")
        if not level.isdigit() or int(level) < LEVEL_NEEDED:
            has = f"knows no rollouts ({beat.software.get('modelcast', 'an older version')})"
            if level.isdigit() and int(level):
                has = f"knows rollouts of level {level}, not {LEVEL_NEEDED}"
            elif level:
                has = level  # as the region says it: a pod that can't hold two versions, say
            found[f"{beat.region} {beat.worker}"] = has
    return found
