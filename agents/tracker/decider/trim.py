"""Which pods a ``VersionState`` names: the worst first, as many as fit."""

from collections.abc import Callable, Mapping
from dataclasses import replace

from modelcast.agents.tracker.decider.tally import Group, Tally
from modelcast.schemas.records import PodReport, RegionState, StageSpan
from modelcast.schemas.states import PodState

STATE_SIZE_MAX = 240 * 1024
"""Bytes aimed at; the rest up to the limit of a record is for what an estimate misses."""
ERROR_CHARS_MAX = 400
WAY_CHARS_MAX = 200
POD_ERROR_CHARS_MAX = 160
STAGES_MAX = 16
POD_OVERHEAD_BYTES = 40
REGION_OVERHEAD_BYTES = 192


def cut(text: str, chars_max: int) -> str:
    """``text``, or its beginning with an ellipsis."""
    return text if len(text) <= chars_max else text[: chars_max - 1] + "…"


def cut_spans(spans: tuple[StageSpan, ...]) -> tuple[StageSpan, ...]:
    """The first spans, with names that fit."""
    return tuple(replace(span, stage=cut(span.stage, 32)) for span in spans[:STAGES_MAX])


def region_size_bytes(row: RegionState) -> int:
    """What a region's row takes without its pods, about."""
    texts = (
        row.region,
        row.aspired_digest,
        row.left_out,
        row.way,
        row.error,
        row.rollover,
        *(s.stage for s in row.spans),
    )
    return REGION_OVERHEAD_BYTES + sum(len(t.encode()) for t in texts) + 14 * len(row.spans)


def pod_size_bytes(pod: PodReport) -> int:
    """What a pod's report takes, at most."""
    texts = (pod.pod, pod.manifest_digest, pod.incarnation, pod.error, pod.kind, pod.fleet, pod.zone)
    return POD_OVERHEAD_BYTES + sum(len(t.encode()) for t in texts)


def badness(group: Group, aspired: Callable[[Group], bool]) -> int:
    """How much a person wants to see these pods; lower is worse."""
    if aspired(group):
        return 4
    if group.state is PodState.FAILED:
        return 0
    if group.state is PodState.UNREACHABLE:
        return 1
    return 2 if not group.confirmed else 3


def choose(
    tallies: Mapping[str, Tally], aspired: Callable[[str, Group], bool], room_bytes: int
) -> dict[str, tuple[PodReport, ...]]:
    """The pods to name in each region: worst first, in turn between regions, within ``room_bytes``."""
    candidates: list[tuple[int, int, str, PodReport]] = []
    for region, groups in tallies.items():
        ranked = sorted(
            ((badness(g, lambda g: aspired(region, g)), p) for g in groups for p in g.samples),  # noqa: B023
            key=lambda rp: (rp[0], rp[1].pod),
        )
        candidates.extend((rank, turn, region, pod) for turn, (rank, pod) in enumerate(ranked))
    candidates.sort(key=lambda c: c[:3])
    chosen: dict[str, list[PodReport]] = {region: [] for region in tallies}
    for _, _, region, pod in candidates:
        short = (
            pod if len(pod.error) <= POD_ERROR_CHARS_MAX else replace(pod, error=cut(pod.error, POD_ERROR_CHARS_MAX))
        )
        room_bytes -= pod_size_bytes(short)
        if room_bytes < 0:
            break
        chosen[region].append(short)
    return {region: tuple(pods) for region, pods in chosen.items()}
