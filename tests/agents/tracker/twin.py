"""The tracker's fold once more: slow, from plain lists, each definition as a sentence of the glossary."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from modelcast.schemas.log.fold import ModelLog
from modelcast.schemas.records import ModelAck, PodReport
from modelcast.schemas.states import PodState, State


@dataclass(frozen=True)
class TwinRegion:
    region: str
    state: State | None
    served_version: int | None
    pods_serving: int
    pods_expected: int
    left_out: str
    silent: bool
    unread: bool
    reported_version: int | None
    refused_version: int | None
    pods: frozenset[str]


@dataclass(frozen=True)
class TwinState:
    consistent_version: int | None
    skew: int
    regions: tuple[TwinRegion, ...]


def snapshot(acks: Iterable[ModelAck], region: str) -> list[ModelAck] | None:
    """The pages of the region's highest complete snapshot."""
    best: list[ModelAck] | None = None
    mine = [a for a in acks if a.region == region]
    for a in mine:
        same = {b.page: b for b in mine if (b.epoch, b.sequence, b.pages) == (a.epoch, a.sequence, a.pages)}
        if all(n in same for n in range(a.pages)) and (
            best is None or (a.epoch, a.sequence, a.pages) > (best[0].epoch, best[0].sequence, best[0].pages)
        ):
            best = [same[n] for n in range(a.pages)]
    return best


def serves(log: ModelLog, pod: PodReport, version: int) -> bool:
    """Confirmed by read-back: reachable, and with the bytes that the log binds the version to."""
    return (
        pod.state is not PodState.UNREACHABLE
        and pod.version == version
        and version in log.updates
        and pod.manifest_digest == log.updates[version].artifact.manifest_digest
    )


def is_live(pod: PodReport) -> bool:
    """A read-back stands behind what it serves."""
    return pod.state is not PodState.UNREACHABLE and pod.version is not None and pod.manifest_digest != ""


def twin(
    log: ModelLog, acks: Sequence[ModelAck], expected: Sequence[str], heard_us: Mapping[str, int], now_us: int
) -> TwinState:
    regions = sorted(set(expected) | {a.region for a in acks if snapshot(acks, a.region) is not None})
    pages = {r: snapshot(acks, r) for r in regions}
    pods = {r: [p for a in pages[r] or [] for p in a.pods] for r in regions}
    target = newest_target(log, expected)
    rows = []
    for r in regions:
        header = pages[r][0] if pages[r] else None
        wanted = max(len(pods[r]), header.pods_expected) if header else 0
        common = [v for v in log.updates if pods[r] and all(serves(log, p, v) for p in pods[r])]
        reported = common[0] if common and len(pods[r]) == wanted else None
        silent = now_us - heard_us.get(r, 0) > 15_000_000
        unread = any(is_live(p) and now_us - p.read_at_us > 600_000_000 for p in pods[r])
        known = not silent and not unread
        aspired = log.aspiration(r)
        state = header.state if header else None
        if header and header.generation < aspired.generation and header.manifest_digest != aspired.manifest_digest:
            state = State.ANNOUNCED
        rows.append(
            TwinRegion(
                region=r,
                state=state,
                served_version=reported if known and reported not in log.quarantined else None,
                pods_serving=sum(
                    known and aspired.version is not None and serves(log, p, aspired.version) for p in pods[r]
                ),
                pods_expected=wanted,
                left_out=left_out(log, r, expected, target),
                silent=silent,
                unread=unread,
                reported_version=reported,
                refused_version=refused(log, r, header),
                pods=frozenset(p.pod for p in pods[r]),
            )
        )
    counted = [row for row in rows if row.left_out == ""]
    consistent = [v for v in log.updates if counted and all(row.served_version == v for row in counted)]
    live = [p for r in regions for p in pods[r] if is_live(p)]
    return TwinState(
        consistent_version=consistent[0] if consistent else None,
        skew=max(0, len({p.manifest_digest for p in live}) - 1),
        regions=tuple(rows),
    )


def newest_target(log: ModelLog, expected: Sequence[str]) -> int | None:
    unpinned = [r for r in expected if log.view(r).pinned_version is None]
    best = None
    for r in unpinned or expected:
        version, view = log.aspired_version(r), log.view(r)
        if version is None:
            continue
        since = [g for g, v in view.activations if v == version]
        if view.pinned_version == version:
            since.append(view.pin_generation)
        best = max(best or (0, 0), (max(since, default=0), version))
    return best[1] if best else None


def refused(log: ModelLog, region: str, header: ModelAck | None) -> int | None:
    """The newest of: what the region said that it refuses, unless released since; what the log keeps from it."""
    found = [0]
    if header and header.refused_version and log.released.get(header.refused_version, 0) <= header.generation:
        found.append(header.refused_version)
    if log.view(region).staged_version in log.quarantined:
        found.append(log.view(region).staged_version or 0)
    for version in log.quarantined:  # whatever would come forth if it alone were released
        others = {v: g for v, g in log.quarantined.items() if v != version}
        if replace(log, quarantined=others).aspired_version(region) == version:
            found.append(version)
    return max(found) or None


def left_out(log: ModelLog, region: str, expected: Sequence[str], target: int | None) -> str:
    if region not in expected:
        return "unexpected"
    if target is None or log.aspired_version(region) == target:
        return ""
    if log.view(region).pinned_version is not None:
        return "pinned"
    placement = log.updates[target].placement
    return "placement" if placement and region not in placement else ""
