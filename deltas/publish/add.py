"""Deltas of a version that was published before, perhaps elsewhere: its files come from the origin."""

from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path

from modelcast.deltas.codec import Layout
from modelcast.deltas.publish.layouts import is_model, layouts_by_digest
from modelcast.deltas.publish.planning.choice import bases_of, file_pairs
from modelcast.deltas.publish.planning.links import held_by
from modelcast.deltas.publish.reports import DeltaMade, DeltaOffer, offered
from modelcast.deltas.publish.targets import DeltaTarget
from modelcast.deltas.publish.tools import DeltaTools
from modelcast.infra.registry.reader import RegistryReader
from modelcast.infra.settings import Settings
from modelcast.infra.stores.configured import origin_store
from modelcast.producers import PublishProgress, StepTimer
from modelcast.schemas import keys
from modelcast.schemas.errors import ModelcastError, NotFound
from modelcast.schemas.log.fold import ModelLog
from modelcast.schemas.manifest import Manifest
from modelcast.schemas.names import check_model
from modelcast.schemas.ports import ObjectStore


def add_deltas(
    settings: Settings,
    model: str,
    version: int,
    *,
    bases: Sequence[int] = (),
    progress: PublishProgress | None = None,
    store: ObjectStore | None = None,
) -> tuple[DeltaOffer, ...]:
    """Make deltas of a version that was published before; what the store has is not made again.

    Args:
        settings: where everything is.
        model: its name.
        version: what the deltas make.
        bases: versions that they start from; none: as for a new publication, with compressed wholes.
        progress: called with each step.
        store: instead of the origin store of the settings.

    Returns:
        What was made. Nothing is written to the log, and nothing announced: regions find deltas by looking.

    Raises:
        NotFound: no such version, or a base that is not older.
        StoreUnavailable: the store can't be reached.
    """
    origin = store if store is not None else origin_store(settings)
    reader = RegistryReader(origin, expected_id=settings.publish.registry_id)
    log = reader.tail(check_model(model)).log
    return _add(DeltaTools.of(settings, origin), log, version, bases, progress)


def _add(
    tools: DeltaTools, log: ModelLog, version: int, bases: Sequence[int], progress: PublishProgress | None
) -> tuple[DeltaOffer, ...]:
    update = log.updates.get(version)
    if update is None:
        raise NotFound("no such version", subject=f"{log.model}/{version}", hint=f"modelcast history {log.model}")
    for base in bases:
        if base not in log.updates or base >= version:
            raise NotFound(
                "no such older version",
                subject=f"{log.model}/{base}",
                hint=f"deltas of {version} start from older ones",
            )
    digest = update.artifact.manifest_digest
    manifest = tools.artifacts.manifest(digest)
    chosen = tuple(bases) or bases_of(
        log, version, digest, tools.back, held_by(tools.regions.links(log.model, log.registry_id))
    )
    present = tools.present(digest)
    timer = StepTimer(progress)
    with tools.cache.scratch() as folder:
        timer.begin("fetch")
        try:
            files = _files(tools, manifest, _wanted(tools, log, manifest, chosen), folder)
            target = DeltaTarget(
                log.model, version, digest, manifest, files, _layouts(tools, manifest, files, folder), present
            )
            batches = tools.planner.plan(log, target, chosen, fetch=True)
            planned = list(chain.from_iterable(b.deltas for b in batches if b.offer.base_version or not bases))
            timer.begin("deltas", sum(d.pair.new.size_bytes for d in planned))

            def show(made: DeltaMade) -> None:
                if progress:
                    progress.advance(made.whole_bytes)
                    progress.added(made)

            made, failed = tools.builder.make(target, planned, show)
        finally:
            timer.end()
    if failed and not made:
        raise ModelcastError(f"no delta was made: {failed[0]}", subject=f"{log.model}/{version}")
    return offered(made)


def _wanted(tools: DeltaTools, log: ModelLog, manifest: Manifest, bases: Sequence[int]) -> set[str]:
    """Digests of the version's files that may get a delta."""
    wanted = {f.digest for f in manifest.files if f.size_bytes >= tools.planner.size_min_bytes}
    if not bases:
        return wanted
    lacking: set[str] = set()
    for base in bases:
        old = tools.artifacts.manifest(log.updates[base].artifact.manifest_digest)
        lacking |= {p.new.digest for p in file_pairs(manifest, old, size_min_bytes=tools.planner.size_min_bytes)}
    return wanted & lacking


def _files(tools: DeltaTools, manifest: Manifest, wanted: set[str], folder: Path) -> dict[str, Path]:
    """Where the files lie: kept here, else fetched."""
    found: dict[str, Path] = {}
    for file in manifest.files:
        if file.digest in wanted and file.digest not in found:
            path = tools.cache.find(file.digest, file.size_bytes) or tools.artifacts.fetch(file, folder)
            if path is None:
                raise NotFound("the store has no such bytes", subject=keys.blob(file.digest), hint="publish them again")
            found[file.digest] = path
    return found


def _layouts(tools: DeltaTools, manifest: Manifest, files: Mapping[str, Path], folder: Path) -> dict[str, Layout]:
    """Where tensors lie, by digest. Models say so of ONNX's external data, and are brought for that."""
    models = {f.digest: f for f in manifest.files if is_model(f.path)}
    lie = dict(files)
    for digest, model in models.items() if files.keys() - models.keys() else ():
        if digest not in lie:
            path = tools.cache.find(digest, model.size_bytes) or tools.artifacts.fetch(model, folder)
            if path is not None:
                lie[digest] = path
    return layouts_by_digest(manifest, lie)
