"""What regions hold of a model and how fast the origin reaches them, from what they and the tracker reported."""

from collections import Counter
from collections.abc import Iterable

from modelcast.deltas.publish.planning.timing import RegionLink
from modelcast.schemas.records import RegionHeartbeat, VersionState


def links_of(state: VersionState | None, beats: Iterable[RegionHeartbeat]) -> tuple[RegionLink, ...]:
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
    return tuple(RegionLink(name, speeds.get(name, 0.0), held.get(name, frozenset())) for name in names)


def held_by(links: Iterable[RegionLink]) -> tuple[int, ...]:
    """Versions that regions hold: those of the slowest link first, then those that most regions have."""
    listed = list(links)
    many = Counter(v for link in listed for v in link.held)
    slow = sorted((link for link in listed if link.bytes_per_second > 0), key=lambda link: link.bytes_per_second)
    first = [max(link.held) for link in slow if link.held]
    return tuple(dict.fromkeys([*first, *(v for v, _ in sorted(many.items(), key=lambda i: (-i[1], -i[0])))]))
