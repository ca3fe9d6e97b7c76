"""Pods counted by what they do, so that a fold costs as much as there are differences, not as there are pods."""

from collections.abc import Iterable
from dataclasses import dataclass

from modelcast.schemas.records import PodReport
from modelcast.schemas.states import PodState

SAMPLES_MAX = 256
"""Pods kept by name in each group; the rest is counted."""


@dataclass(frozen=True, slots=True)
class Group:
    """Pods of one region that are in the same state with the same bytes."""

    state: PodState
    version: int | None
    manifest_digest: str
    count: int
    generation_min: int
    read_at_us_min: int  # of the pod that was read back longest ago, region's clock
    samples: tuple[PodReport, ...]

    @property
    def confirmed(self) -> bool:
        """Whether a read-back stands behind the version: an unreachable pod's last answer is no longer one."""
        return self.version is not None and self.manifest_digest != "" and self.state is not PodState.UNREACHABLE


Tally = tuple[Group, ...]
_Kind = tuple[PodState, int | None, str]


def tally(pods: Iterable[PodReport]) -> Tally:
    """Group pods by state, version and digest."""
    kinds: dict[_Kind, list[PodReport]] = {}
    for pod in pods:
        kind = (pod.state, pod.version, pod.manifest_digest)
        members = kinds.get(kind)
        if members is None:
            kinds[kind] = [pod]
        else:
            members.append(pod)
    return tuple(
        Group(
            *kind,
            len(members),
            min([m.generation for m in members]),
            min([m.read_at_us for m in members]),
            tuple(members[:SAMPLES_MAX]),
        )
        for kind, members in kinds.items()
    )


def merge(tallies: Iterable[Tally]) -> Tally:
    """One tally of several disjoint sets of pods."""
    kinds: dict[_Kind, list[Group]] = {}
    for group in (g for t in tallies for g in t):
        kinds.setdefault((group.state, group.version, group.manifest_digest), []).append(group)
    return tuple(
        groups[0]
        if len(groups) == 1
        else Group(
            *kind,
            sum(g.count for g in groups),
            min(g.generation_min for g in groups),
            min(g.read_at_us_min for g in groups),
            tuple(p for g in groups for p in g.samples)[:SAMPLES_MAX],
        )
        for kind, groups in kinds.items()
    )
