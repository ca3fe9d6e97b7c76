"""What regions hold of a model and how fast their links are, as far as the live view tells. It may know nothing."""

import time
from collections import Counter
from collections.abc import Iterable

from modelcast.infra.redis_view import RedisView
from modelcast.infra.settings import Settings
from modelcast.producers.deltas.timing import Link
from modelcast.schemas.errors import RedisUnavailable
from modelcast.schemas.records import RegionHeartbeat, VersionState

QUIET_SECONDS = 60.0
"""After a Redis that did not answer, none is asked for this long: most training machines can't reach one."""
SPEED_AGE_SECONDS_MAX = 24 * 3600.0


class Regions:
    """The regions as seen from here."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._quiet_until = 0.0

    def links(self, model: str, registry_id: str) -> tuple[Link, ...]:
        """Every region of which something is known."""
        if time.monotonic() < self._quiet_until:
            return ()
        try:
            with RedisView(self._settings, registry_id) as view:
                state = view.model(model)
                beats = [b.value for b in view.heartbeats() if b.age_seconds < SPEED_AGE_SECONDS_MAX]
        except RedisUnavailable:
            self._quiet_until = time.monotonic() + QUIET_SECONDS
            return ()
        return links_of(state.value if state else None, beats)


def links_of(state: VersionState | None, beats: Iterable[RegionHeartbeat]) -> tuple[Link, ...]:
    """The links, by region's name. A region is as fast as the slowest of its workers that measured it."""
    speeds: dict[str, float] = {}
    alive: set[str] = set()
    for beat in beats:
        alive.add(beat.region)
        if beat.origin_bytes_per_second > 0:
            known = speeds.get(beat.region, beat.origin_bytes_per_second)
            speeds[beat.region] = min(known, beat.origin_bytes_per_second)
    held: dict[str, frozenset[int]] = {}
    for row in state.regions if state else ():
        held[row.region] = frozenset(v for v in (row.staged_version, row.served_version) if v is not None)
    names = sorted({*alive, *held})
    return tuple(Link(name, speeds.get(name, 0.0), held.get(name, frozenset())) for name in names)


def held_by(links: Iterable[Link]) -> tuple[int, ...]:
    """Versions that regions hold: those of the slowest link first, then those that most regions have."""
    listed = list(links)
    many = Counter(v for link in listed for v in link.held)
    slow = sorted((link for link in listed if link.bytes_per_second > 0), key=lambda link: link.bytes_per_second)
    first = [max(link.held) for link in slow if link.held]
    return tuple(dict.fromkeys([*first, *(v for v, _ in sorted(many.items(), key=lambda i: (-i[1], -i[0])))]))
