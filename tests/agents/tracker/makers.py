"""Records for the tracker's tests."""

import time
from collections.abc import Iterable, Sequence

from modelcast.agents.tracker.decider.snapshots import EMPTY, Change, RegionRows, Snapshot, take
from modelcast.schemas.log.fold import ModelLog
from modelcast.schemas.records import (
    Activation,
    ArtifactRef,
    CommandKind,
    CommandTarget,
    Entry,
    ModelAck,
    ModelCommand,
    ModelUpdate,
    PodReport,
)
from modelcast.schemas.states import PodState, State
from tests.support.records.folding import apply_all

REGISTRY = "5f0c8a4e-registry"
MODEL = "fraud"
SECOND = 1_000_000


def digest(version: int) -> str:
    return f"sha256:{version:064x}"


def update(
    generation: int,
    version: int,
    *,
    placement: Sequence[str] = (),
    activation: Activation = Activation.IMMEDIATE,
    model: str = MODEL,
    registry_id: str = REGISTRY,
) -> ModelUpdate:
    return ModelUpdate(
        registry_id=registry_id,
        event_id=f"event-{generation}",
        model=model,
        version=version,
        generation=generation,
        artifact=ArtifactRef("origin", f"manifests/{version}", digest(version), 1024, 1, "onnx"),
        published_at_us=generation * SECOND,
        placement=tuple(placement),
        activation=activation,
    )


def command(
    generation: int, kind: CommandKind, version: int | None = None, regions: Sequence[str] = ("",), model: str = MODEL
) -> ModelCommand:
    return ModelCommand(
        registry_id=REGISTRY,
        event_id=f"event-{generation}",
        model=model,
        generation=generation,
        kind=kind,
        targets=tuple(CommandTarget(r, version) for r in regions),
        requested_at_us=generation * SECOND,
        requested_by="tester",
        alias="champion" if kind is CommandKind.ALIAS else "",
    )


def log_of(*entries: Entry, model: str = MODEL, registry_id: str = REGISTRY) -> ModelLog:
    return apply_all(ModelLog(model, registry_id), entries)


def pod(
    name: str,
    version: int | None,
    generation: int = 0,
    state: PodState = PodState.SERVING,
    *,
    read_at_us: int | None = None,
) -> PodReport:
    """What a pod was read back with; just now, unless said."""
    return PodReport(
        pod=name,
        state=state,
        version=version,
        manifest_digest="" if version is None else digest(version),
        generation=generation,
        incarnation="i1",
        read_at_us=time.time_ns() // 1000 if read_at_us is None else read_at_us,
    )


def pages(
    region: str,
    pods: Sequence[PodReport],
    *,
    epoch: int = 1,
    sequence: int = 1,
    page_count: int = 1,
    generation: int = 1,
    version: int | None = 1,
    state: State = State.SERVING,
    pods_expected: int | None = None,
    model: str = MODEL,
    registry_id: str = REGISTRY,
    error: str = "",
    refused_version: int | None = None,
) -> list[ModelAck]:
    """One snapshot's acks; pods are dealt out to the pages in turn."""
    return [
        ModelAck(
            registry_id=registry_id,
            model=model,
            region=region,
            worker=f"{region}-w",
            epoch=epoch,
            sequence=sequence,
            page=page,
            pages=page_count,
            generation=generation,
            version=version,
            manifest_digest="" if version is None else digest(version),
            state=state,
            reported_at_us=sequence * SECOND,
            staged_generation=generation,
            staged_version=version,
            refused_version=refused_version,
            pods=tuple(pods[page::page_count]),
            pods_expected=len(pods) if pods_expected is None else pods_expected,
            bytes_moved=10,
            error=error,
        )
        for page in range(page_count)
    ]


def taken(rows: RegionRows, ack: ModelAck, now_us: int = 10_000 * SECOND) -> Change:
    return take(rows, ack, now_us)


def rows_of(acks: Iterable[ModelAck]) -> RegionRows:
    rows = EMPTY
    for ack in acks:
        rows = taken(rows, ack).rows
    return rows


def snapshots_of(acks: Iterable[ModelAck]) -> dict[str, Snapshot]:
    """Every region's highest complete snapshot, by the code under test."""
    by_region: dict[str, list[ModelAck]] = {}
    for ack in acks:
        by_region.setdefault(ack.region, []).append(ack)
    found = {region: rows_of(mine).complete for region, mine in by_region.items()}
    return {region: snapshot for region, snapshot in found.items() if snapshot is not None}
