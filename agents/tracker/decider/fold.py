"""The tracker's fold: from a model's log and what its regions reported to its ``VersionState``.

A pure function of values; ``now_us`` is passed in. Clocks only measure: what is served follows from the log and
from read-backs alone.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from modelcast.agents.tracker.decider import trim
from modelcast.agents.tracker.decider.owed import owed_generations, waiting_since_us
from modelcast.agents.tracker.decider.snapshots import Snapshot
from modelcast.agents.tracker.decider.tally import Group, Tally
from modelcast.schemas.digests import short
from modelcast.schemas.log.fold import Aspiration, ModelLog
from modelcast.schemas.records import LogPosition, ModelAck, RegionState, VersionState
from modelcast.schemas.states import State

PINNED, PLACEMENT, UNEXPECTED = "pinned", "placement", "unexpected"
"""Why a region does not count: pinned elsewhere, outside the placement, or not among those that settings expect."""
ALARM_CHARS_MAX = 1000

UNDER_WAY = frozenset({State.ANNOUNCED, State.FETCHING, State.STAGED, State.LOADING})
REPLACE_SECONDS_MAX = 600.0
"""Seconds from a quarantine on in which a replacement that is under way is awaited without an alarm."""


@dataclass(frozen=True, slots=True)
class Everywhere:
    """What is known and concerns every model; see ``Known``."""

    heard_us: Mapping[str, int]
    ahead_of_us: Mapping[str, int]
    expected: tuple[str, ...]
    silent_after_seconds: float
    unread_after_seconds: float
    alarm: str = ""


@dataclass(frozen=True, slots=True)
class Known:
    """All that is known of one model.

    Attributes:
        log: its fold.
        entry_times_us: generation to when the store received the entry, by the store's clock.
        snapshots: each region's highest complete snapshot.
        heard_us: each region's last heartbeat, by Kafka's clock.
        expected: the regions that count.
        previous: the last state, for "since when".
        ahead_of_us: how far our clock is ahead of each region's.
        silent_after_seconds: a region that was not heard for longer is silent.
        unread_after_seconds: pods that were not read back for longer are not known to serve anything.
        as_of_us: every acknowledgement up to here is in it; 0: up to now.
        alarm: what a person must look at besides what the fold finds, or "".
    """

    log: ModelLog
    entry_times_us: Mapping[int, int] = field(default_factory=dict)
    snapshots: Mapping[str, Snapshot] = field(default_factory=dict)
    heard_us: Mapping[str, int] = field(default_factory=dict)
    expected: tuple[str, ...] = ()
    previous: VersionState | None = None
    ahead_of_us: Mapping[str, int] = field(default_factory=dict)
    silent_after_seconds: float = 15.0
    unread_after_seconds: float = 600.0
    as_of_us: int = 0
    alarm: str = ""


def fold(known: Known, now_us: int) -> VersionState:
    """The state of a model as of ``now_us`` (UTC microseconds)."""
    log = known.log
    names = sorted({*known.expected, *known.snapshots})
    tallies = {name: s.pods for name, s in known.snapshots.items()}
    target = target_version(log, known.expected)
    before = {row.region: row for row in known.previous.regions} if known.previous is not None else {}
    rows = [_region(known, name, tallies.get(name), target, before.get(name), now_us) for name in names]
    counted = [row for row in rows if not row.left_out]
    consistent = consistent_version(counted)
    served = {g.manifest_digest for t in tallies.values() for g in t if g.confirmed}
    skew = max(0, len(served) - 1)
    previous = known.previous
    return VersionState(
        registry_id=log.registry_id,
        model=log.model,
        head_generation=log.head,
        latest_version=log.latest_version,
        consistent_version=consistent,
        consistent_since_us=_consistent_since_us(previous, consistent, now_us),
        last_consistent_version=consistent or (previous.last_consistent_version if previous else None),
        behind_since_us=min(
            (r.behind_since_us for r in rows if r.behind_since_us and r.left_out != UNEXPECTED), default=0
        ),
        skew=skew,
        skew_since_us=_skew_since_us(previous, skew, now_us),
        updated_at_us=now_us,
        regions=_with_pods(rows, tallies, log),
        alarm=_alarm(known, rows, tallies, now_us),
        as_of_us=min(known.as_of_us or now_us, now_us),
    )


def target_version(log: ModelLog, expected: Iterable[str]) -> int | None:
    """The version that was most recently set for expected regions: what decides who is pinned *elsewhere* or
    outside *the* placement. A pin sets it only where every expected region is pinned."""
    views = [(region, log.view(region)) for region in expected]
    free = [(region, view) for region, view in views if view.pinned_version is None]
    newest: tuple[int, int] | None = None
    for region, view in free or views:
        version = log.aspired_version(region)
        if version is None:
            continue
        since = max((g for g, v in view.activations if v == version), default=0)
        since = max(since, view.pin_generation if view.pinned_version == version else 0)
        if newest is None or (since, version) > newest:
            newest = (since, version)
    return newest[1] if newest else None


def consistent_version(counted: Iterable[RegionState]) -> int | None:
    """The one version that all of them serve; None if there are several or none, or a region without pods."""
    served = {row.served_version for row in counted}
    return served.pop() if len(served) == 1 else None


def served(log: ModelLog, group: Group) -> int | None:
    """The version that these pods are confirmed to serve; None also if their bytes are not that version's."""
    if group.version is None or not group.confirmed:
        return None
    update = log.updates.get(group.version)
    return group.version if update and update.artifact.manifest_digest == group.manifest_digest else None


def _region(
    known: Known, name: str, pods: Tally | None, target: int | None, before: RegionState | None, now_us: int
) -> RegionState:
    log, snapshot = known.log, known.snapshots.get(name)
    aspiration = log.aspiration(name)
    heard_us = known.heard_us.get(name, 0)
    silent = now_us - heard_us > known.silent_after_seconds * 1_000_000
    row = RegionState(
        region=name,
        state=None,
        aspired_version=aspiration.version,
        aspired_generation=aspiration.generation,
        aspired_digest=aspiration.manifest_digest,
        staged_version=None,
        staged_generation=0,
        served_version=None,
        served_generation=0,
        pods_serving=0,
        pods_expected=0,
        behind_since_us=0,
        silent=silent,
        left_out=_left_out(known, name, target),
        refused_version=_refused_version(log, aspiration, snapshot),
        heard_at_us=heard_us,
        pinned_version=log.view(name).pinned_version,
        paused=aspiration.paused,
    )
    if snapshot is None or pods is None:
        return replace(row, behind_since_us=_behind_since_us(known, name, None, before, now_us, gets_on=True))
    header = snapshot.header
    count = sum(g.count for g in pods)
    expected = max(count, header.pods_expected)
    versions = {served(log, g) for g in pods}
    reported_version = versions.pop() if len(versions) == 1 and count == expected else None
    read_at_us = read_back_at_us(known, name, before, now_us)
    unread = read_at_us is not None and now_us > _readable_until_us(known, read_at_us)
    known_now = not silent and not unread
    behind = tuple(g for g in pods if served(log, g) != aspiration.version)
    late = bool(behind) or count < expected or count == 0
    gets_on = count == expected > 0 and all(served(log, g) is not None for g in behind)
    # A report of an older generation says nothing of the one that is aspired now, unless both want the same bytes.
    about_this = header.generation >= aspiration.generation or header.manifest_digest == aspiration.manifest_digest
    row = replace(
        row,
        state=header.state if about_this else State.ANNOUNCED,
        staged_version=header.staged_version,
        staged_generation=header.staged_generation,
        served_version=reported_version if known_now and reported_version not in log.quarantined else None,
        served_generation=min((g.generation_min for g in pods), default=0),
        pods_serving=count - sum(g.count for g in behind) if aspiration.version is not None and known_now else 0,
        pods_expected=expected,
        behind_since_us=_behind_since_us(known, name, behind, before, now_us, gets_on=gets_on) if late else 0,
        reported_at_us=header.reported_at_us,
        error=trim.cut(header.error, trim.ERROR_CHARS_MAX),
        error_generation=header.generation if header.error else 0,
        reported_version=reported_version,
        unread=unread,
        read_at_us=max(0, read_at_us or 0),
        owner_epoch=header.epoch,
    )
    if about_this:  # else its error alone stays: it may be why the region does not get on
        row = replace(
            row,
            bytes_moved=header.bytes_moved,
            bytes_saved=header.bytes_saved,
            bytes_total=header.bytes_total,
            bytes_planned=header.bytes_planned,
            bytes_per_second=header.bytes_per_second,
            way=trim.cut(header.way, trim.WAY_CHARS_MAX),
            rollover=trim.cut(header.rollover, trim.ERROR_CHARS_MAX) if known_now else "",
            spans_since_us=header.spans_since_us,
            spans=trim.cut_spans(header.spans),
        )
    return replace(row, moved_at_us=_moved_at_us(known, row, before, now_us))


def _refused_version(log: ModelLog, aspiration: Aspiration, snapshot: Snapshot | None) -> int | None:
    """The version that the log or the region refuses; a region's refusal ends with the version's release."""
    refused = snapshot.header.refused_version if snapshot is not None else None
    if snapshot is not None and refused is not None and log.released.get(refused, 0) > snapshot.header.generation:
        refused = None
    return max((v for v in (aspiration.refused_version, refused) if v is not None), default=None)


def read_back_at_us(known: Known, region: str, before: RegionState | None, now_us: int) -> int | None:
    """When a region's pods were last read back, by our clock: the one for which that is longest ago; None: none was.

    A time that has not come was made up, or told by a clock that was set meanwhile: then they were read back when that
    report first counted.
    """
    snapshot = known.snapshots.get(region)
    read_at_us = min((g.read_at_us_min for g in snapshot.pods if g.confirmed), default=None) if snapshot else None
    if snapshot is None or read_at_us is None:
        return None
    read_at_us += known.ahead_of_us.get(region, 0)
    if read_at_us <= now_us:
        return read_at_us
    same = before is not None and before.reported_at_us == snapshot.header.reported_at_us
    return before.read_at_us if before is not None and same and before.read_at_us else now_us


def readable_until_us(known: Known, region: str, now_us: int) -> int | None:
    """Until when what a region's pods served at its last report still counts, by our clock; None: nothing does."""
    rows = known.previous.regions if known.previous is not None else ()
    read_at_us = read_back_at_us(known, region, next((r for r in rows if r.region == region), None), now_us)
    return None if read_at_us is None else _readable_until_us(known, read_at_us)


def replaced_until_us(known: Known) -> tuple[int, ...]:
    """Until when a replacement of each quarantined version is awaited without an alarm, by our clock."""
    received = (known.entry_times_us.get(generation) for generation in known.log.quarantined.values())
    return tuple(at_us + int(REPLACE_SECONDS_MAX * 1_000_000) for at_us in received if at_us is not None)


def _readable_until_us(known: Known, read_at_us: int) -> int:
    return read_at_us + int(known.unread_after_seconds * 1_000_000)


def _moved_at_us(known: Known, row: RegionState, before: RegionState | None, now_us: int) -> int:
    """When bytes or state last moved, by our clock: now, if they differ from what was said before."""
    if before is None or not before.moved_at_us:
        reported_at_us = row.reported_at_us + known.ahead_of_us.get(row.region, 0)
        return min(max(reported_at_us, 0), now_us)  # whatever the region's clock says
    return now_us if _moves(before, row) else before.moved_at_us


def _moves(before: RegionState, row: RegionState) -> bool:
    """Whether a region got on; that its pods are not known to serve for a while is no movement."""
    known = not (before.silent or before.unread or row.silent or row.unread)
    return _progress(before) != _progress(row) or (known and before.pods_serving != row.pods_serving)


def _progress(row: RegionState) -> tuple[object, ...]:
    return (row.state, row.bytes_moved, row.staged_version, row.aspired_generation)


def _behind_since_us(
    known: Known,
    region: str,
    behind: tuple[Group, ...] | None,
    before: RegionState | None,
    now_us: int,
    *,
    gets_on: bool,
) -> int:
    """Since when the region owes something, given that it does.

    A region that served all that it should when the last state was said is behind since then: since the store received
    what came later, or since now, if nothing did (a pod has restarted). One whose pods all serve something, and get on,
    is behind since what they owe now; one with a pod that serves nothing, or is missing, does not get on.
    """
    owed = owed_generations(known.log, region, behind)
    since_us = waiting_since_us(owed, known.entry_times_us) or 0
    previous = known.previous
    if not owed or previous is None or before is None or before.state is None:
        return since_us
    if before.behind_since_us:
        return max(before.behind_since_us, since_us) if gets_on else before.behind_since_us
    newer = tuple(g for g in owed if g > previous.head_generation)
    return (waiting_since_us(newer, known.entry_times_us) or now_us) if newer else now_us


def _left_out(known: Known, region: str, target: int | None) -> str:
    if region not in known.expected:
        return UNEXPECTED
    if target is None or known.log.aspired_version(region) == target:
        return ""
    if known.log.view(region).pinned_version is not None:
        return PINNED
    return "" if known.log.allowed(target, region) else PLACEMENT


def _with_pods(rows: list[RegionState], tallies: Mapping[str, Tally], log: ModelLog) -> tuple[RegionState, ...]:
    aspired = {row.region: row.aspired_version for row in rows}

    def done(region: str, group: Group) -> bool:
        return aspired[region] is not None and served(log, group) == aspired[region]

    room = trim.STATE_SIZE_MAX - sum(map(trim.region_size_bytes, rows))
    chosen = trim.choose(tallies, done, room)
    return tuple(
        replace(
            row,
            pods=(pods := chosen.get(row.region, ())),
            pods_omitted=sum(g.count for g in tallies.get(row.region, ())) - len(pods),
        )
        for row in rows
    )


def _consistent_since_us(previous: VersionState | None, consistent: int | None, now_us: int) -> int:
    if consistent is None:
        return 0
    if previous is not None and previous.consistent_version == consistent and previous.consistent_since_us:
        return previous.consistent_since_us
    return now_us


def _skew_since_us(previous: VersionState | None, skew: int, now_us: int) -> int:
    if not skew:
        return 0
    return previous.skew_since_us if previous is not None and previous.skew_since_us else now_us


def _region_alarm(log: ModelLog, header: ModelAck) -> str:
    """What a region raises alarm about; else why it follows another log than this one. ``""``: neither."""
    if header.alarm:
        return header.alarm
    accepted = LogPosition(header.generation, header.log_digest)
    if not accepted.digest or accepted.generation > log.head or log.answers(accepted):
        return ""
    found, read = short(accepted.digest), short(log.digest_at(accepted.generation))
    return f"it accepted the log up to generation {accepted.generation} as {found}, but the store holds {read}"


def _is_being_replaced(known: Known, row: RegionState, version: int, now_us: int) -> bool:
    """Whether what takes a quarantined version's place in a region is on its way, and has not been for too long."""
    since_us = known.entry_times_us.get(known.log.quarantined[version], 0)
    in_time = now_us - since_us <= REPLACE_SECONDS_MAX * 1_000_000
    return row.aspired_version is not None and row.state in UNDER_WAY and in_time


def _alarm(known: Known, rows: Iterable[RegionState], tallies: Mapping[str, Tally], now_us: int) -> str:
    log, found = known.log, [known.alarm] if known.alarm else []
    for row in rows:
        region = row.region
        if region not in tallies:
            continue
        for g in tallies[region]:
            version = served(log, g)
            if (
                version is not None
                and version in log.quarantined
                and not _is_being_replaced(known, row, version, now_us)
            ):
                instead = f", and version {row.aspired_version} has not taken its place" if row.aspired_version else ""
                found.append(f"{region}: {g.count} pods serve version {version}, which is quarantined{instead}")
        if alarm := _region_alarm(log, known.snapshots[region].header):
            found.append(f"{region}: {alarm}")
        strange = sum(
            g.count
            for g in tallies[region]
            if g.confirmed and served(log, g) is None and (g.version in log.updates or g.generation_min <= log.head)
        )
        if strange:
            found.append(f"{region}: {strange} pods serve bytes that are not in the log")
    return trim.cut("; ".join(found), ALARM_CHARS_MAX)
