"""A past in an origin store: three publications of a model in eight regions, a silence, and a tracker away."""

from modelcast.agents.history.archive import PartitionArchive
from modelcast.infra.stores import MemoryStore
from modelcast.schemas import keys
from modelcast.schemas.history.generation import encode_generation, rollout_record
from modelcast.schemas.log.fold import ModelLog
from modelcast.schemas.log.registry_id import encode_registry_id
from modelcast.schemas.manifest import Manifest
from modelcast.schemas.records import ALL_OF_THEM, ArtifactRef, ModelUpdate, RegionState, StageSpan, VersionChange
from modelcast.schemas.topics import partition_of
from tests.consumers.fetch.publishing import noise, publish
from tests.dashboard.makers import NOW, REGISTRY, SECOND, row, state
from tests.dashboard.overviews import regions
from tests.support.records.folding import stated

MODEL = "ranker"
REGIONS = regions(8)
HOUR_US = 3600 * SECOND


def past(store: MemoryStore, now_us: int) -> None:
    """Versions 1, 2 and 3 five, three and one hour ago; ``now_us`` is the end of what is archived."""
    store.put(keys.REGISTRY_ID, encode_registry_id(REGISTRY))
    log = ModelLog(MODEL, REGISTRY)
    for version in (1, 2, 3):
        manifest: Manifest = publish(store, {"weights": noise(4096, version), "vocabulary": b"the same"})
        ref = ArtifactRef("origin", keys.manifest(manifest.digest), manifest.digest, manifest.size_bytes, 2, "onnx")
        update = ModelUpdate(
            REGISTRY, f"e{version}", MODEL, version, version, ref, 1,
            publisher="train-17", metrics={"auc": 0.9 + version / 100}, labels={"run": f"nightly-{version}"},
        )  # fmt: skip
        entry = stated(log, update)
        log = log.extend(entry)
        store._now_us = lambda hours=5 - 2 * (version - 1): now_us - hours * HOUR_US  # type: ignore[misc]
        store.put(keys.log_entry(MODEL, version), entry.body)
    store._now_us = lambda: now_us
    changes: list[VersionChange] = []
    for version, hours in ((1, 5), (2, 3), (3, 1)):
        begun_us = now_us - hours * HOUR_US
        for place, region in enumerate(REGIONS):
            done_us = begun_us + (5 + 3 * place**2) * SECOND
            if version > 1:
                changes.append(change(region, "LAG", begun_us + SECOND, begun_us, version - 1))
            changes.append(change(region, "OK", done_us, done_us - 20 * SECOND if version > 1 else 0, version))
    silent_us = now_us - 2 * HOUR_US
    changes.append(change(REGIONS[1], "SILENT", silent_us, silent_us - 17 * SECOND, 2))
    changes.append(change(REGIONS[1], "OK", silent_us + HOUR_US // 2, silent_us, 2))
    away_us = now_us - 4 * HOUR_US
    changes.append(change(ALL_OF_THEM, "NONE", away_us + HOUR_US // 4, away_us, None))
    archive = PartitionArchive(store, partition_of(MODEL), REGISTRY, "topic")
    archive.begin(0, len(changes))
    for offset, each in enumerate(sorted(changes, key=lambda c: c.changed_at_us)):
        archive.take(offset, each)
    archive.seal(now_us)
    archive.mark(now_us)
    went = rollout_record(
        state(MODEL, [_served(region, 5 + 3 * n**2) for n, region in enumerate(REGIONS)]), "served", now_us
    )
    store.put(keys.generation_record(MODEL, 3), encode_generation(went))


def change(region: str, status: str, at_us: int, confirmed_us: int, version: int | None) -> VersionChange:
    at_us, confirmed_us = at_us // 1000 * 1000, confirmed_us // 1000 * 1000
    return VersionChange(REGISTRY, MODEL, region, status, at_us, confirmed_us, version, "", version or 0, 3, 3, at_us)


def _served(region: str, seconds: float) -> RegionState:
    ms = round(seconds * 1000)
    spans = (
        StageSpan("wait", 0, 100, 100),
        StageSpan("fetch", 100, ms - 900, ms - 1000),
        StageSpan("origin", 150, ms - 1000, ms - 1200),
        StageSpan("load", ms - 900, ms, 900),
    )
    return row(region, aspired_generation=3, spans_since_us=NOW, spans=spans)
