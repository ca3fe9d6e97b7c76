"""Have enough regions reached a version? Judged from one ``VersionState``, without I/O."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from modelcast.producers.planning.arguments import region_names_of, value_and_type
from modelcast.schemas.errors import UsageError
from modelcast.schemas.records import RegionState, VersionState
from modelcast.schemas.states import BEHIND_SECONDS, STALE_SECONDS, State
from modelcast.schemas.statuses import Limits, status_of

Level = Literal["all", "quorum", "one"]
LEVELS: tuple[Level, ...] = ("all", "quorum", "one")
_LEVEL_HINT = "all: every region that counts; quorum: more than half of them; one: any"
_UNSUPPORTED = "unsupported: "
"""How a pod's error begins that names what it can't load: another try does not help."""


@dataclass(frozen=True, slots=True)
class Convergence:
    """How far regions have come with a version.

    Attributes:
        reached: enough regions are there.
        there: regions that are.
        laggards: regions that count and are not, each with why.
        quarantined: regions that refused the version, each with why.
        still_serving: regions in which pods serve the version, whether they may or not.
        superseded: every region that is missing aspires to something newer, so waiting on is in vain.
        unsupported: every region that is missing has only pods that can't load such an artifact, each with why: waiting
            on is in vain until other pods are there.
    """

    reached: bool
    there: tuple[str, ...] = ()
    laggards: tuple[str, ...] = ()
    quarantined: tuple[str, ...] = ()
    still_serving: tuple[str, ...] = ()
    superseded: bool = False
    unsupported: tuple[str, ...] = ()


def level_of(level: object) -> Level:
    """A level by its name.

    Raises:
        UsageError: there is none of that name.
    """
    for known in LEVELS:
        if isinstance(level, str) and level == known:
            return known
    raise UsageError(f"bad level {value_and_type(level)}: it is one of {', '.join(LEVELS)}", hint=_LEVEL_HINT)


def convergence_of(
    state: VersionState | None,
    version: int,
    level: Level = "all",
    *,
    generation: int = 0,
    head: int = 0,
    staged: bool = False,
    regions: str | Iterable[str] = (),
) -> Convergence:
    """Whether ``version`` has arrived.

    Args:
        state: the newest that the tracker reported; None: nothing yet.
        version: the one waited for.
        level: how many regions are enough. Those left out (pinned, outside the placement) don't count.
        generation: the entry waited for; a state that has not folded it proves nothing. 0: any.
        head: how far the log was read by the caller that waits; a state that has not folded it proves nothing either.
        staged: verified on the regions' disks is enough.
        regions: only these count (or this one), left out or not; none: all.

    Raises:
        UsageError: no such level, or a region's name is malformed.
    """
    level, regions = level_of(level), region_names_of(regions)
    if state is None or state.head_generation < max(generation, head):
        return Convergence(reached=False, laggards=("the tracker has not reported it yet",))
    counted = [row for row in state.regions if (row.region in regions if regions else not row.left_out)]
    unheard = sorted(set(regions) - {row.region for row in counted})
    there = tuple(r.region for r in counted if _is_there(r, version, staged))
    missing = [r for r in counted if r.region not in there]
    refused = [r for r in missing if _refuses(r, version)]
    unsupported = tuple(f"{r.region}: {said}" for r in missing if (said := _unsupported(r, version)))
    omitted = 0 if regions else state.regions_omitted
    expected = len(counted) + len(unheard) + omitted
    needed = {"all": expected, "quorum": expected // 2 + 1, "one": 1}[level]
    lacking = (*(_why(state, r, version) for r in missing), *(f"{name}: never reported" for name in unheard))
    return Convergence(
        reached=bool(counted) and (len(there) >= needed or (omitted > 0 and state.consistent_version == version)),
        there=there,
        laggards=lacking or (() if counted else ("no region is expected to have it",)),
        quarantined=tuple(_refusal(r, version) for r in refused),
        still_serving=tuple(r.region for r in counted if _serves_still(r, version)),
        superseded=bool(missing) and all(_is_past(r, version, generation) for r in missing),
        unsupported=unsupported if len(unsupported) == len(missing) and not unheard and not omitted else (),
    )


def _is_there(region: RegionState, version: int, staged: bool) -> bool:
    if region.served_version == version:
        return True
    return staged and region.staged_version == version and not _refuses(region, version)


def _refuses(region: RegionState, version: int) -> bool:
    """Whether the region will not have the version unless a person does something, whatever it aspires to."""
    quarantined = region.state is State.QUARANTINED and region.aspired_version == version
    return quarantined or region.refused_version == version


def _unsupported(region: RegionState, version: int) -> str:
    """Why no pod of the region can load the version, whatever is tried again; "": one may."""
    if region.aspired_version != version or region.state is not State.FAILED or region.pods_serving:
        return ""
    errors = [pod.error for pod in region.pods if pod.error] or [region.error]
    return errors[0] if all(_UNSUPPORTED in error for error in errors) else ""


def _serves_still(region: RegionState, version: int) -> bool:
    return region.reported_version == version or any(pod.version == version for pod in region.pods)


def _refusal(region: RegionState, version: int) -> str:
    text = f"{region.region}: {region.error or 'quarantined'}"
    return f"{text}; {region.region}: serves a quarantined version" if _serves_still(region, version) else text


def _is_past(region: RegionState, version: int, generation: int) -> bool:
    """Whether the region has a newer entry to obey (only known when the generation waited for is)."""
    newer = generation > 0 and region.aspired_generation > generation
    return newer and version not in {region.aspired_version, region.staged_version}


def _why(state: VersionState, region: RegionState, version: int) -> str:
    """How a region stands that does not have the version, by its status, as it is shown everywhere."""
    now_us = state.updated_at_us
    status = status_of(region, now_us, Limits(), alarm=bool(state.alarm)).status
    parts = [status.value]
    if region.state is None or region.state.value != status.value:
        parts.append(region.state.value.lower() if region.state else "never reported")
    if region.aspired_version != version:
        parts.append(f"aspires to {region.aspired_version}")
    if not region.pods_expected:
        parts.append("has no pods")
    elif region.silent or region.unread:
        parts.append(f"served {region.reported_version} when last reported")
    elif region.aspired_version == version:
        parts.append(f"{region.pods_serving} of {region.pods_expected} pods serve it")
    if region.unread and not region.silent:
        parts.append("its pods were not read back for too long")
    if region.error:
        parts.append(region.error)
    return f"{region.region}: {', '.join(parts)}"


def lateness(state: VersionState, reported_seconds_ago: float) -> str:
    """How far behind the tracker is, for people; "": what it said is of now, as far as such things can be.

    Args:
        state: what it said.
        reported_seconds_ago: since then.
    """
    if reported_seconds_ago > STALE_SECONDS:
        return f"the tracker last reported {reported_seconds_ago:.0f} s ago"
    if state.unread_seconds > BEHIND_SECONDS:
        return f"the tracker is {state.unread_seconds:.0f} s behind: acknowledgements that came since wait to be read"
    return ""
