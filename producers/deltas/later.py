"""Deltas of a version that was published before, perhaps elsewhere: its files come from the origin."""

from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path

from modelcast.deltas.codec.layouts.tensors import Layout
from modelcast.producers.deltas.choice import bases_of, pairs_of
from modelcast.producers.deltas.layouts import is_model, layouts_by_digest
from modelcast.producers.deltas.maker import Target
from modelcast.producers.deltas.offers import DeltaMade, DeltaOffer, offered
from modelcast.producers.deltas.regions import held_by
from modelcast.producers.deltas.shop import DeltaShop
from modelcast.producers.publication import PublishProgress
from modelcast.producers.steps import Steps
from modelcast.schemas import keys
from modelcast.schemas.errors import ModelcastError, NotFound
from modelcast.schemas.log import ModelLog
from modelcast.schemas.manifest import Manifest


def add_deltas(
    shop: DeltaShop, log: ModelLog, version: int, bases: Sequence[int], progress: PublishProgress | None
) -> tuple[DeltaOffer, ...]:
    """See ``Publisher.add_deltas``."""
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
    manifest = shop.maker.manifest(digest)
    chosen = tuple(bases) or bases_of(
        log, version, digest, shop.back, held_by(shop.regions.links(log.model, log.registry_id))
    )
    present = frozenset(info.key for info in shop.store.list(keys.delta_prefix(digest)))
    steps = Steps(progress)
    with shop.cache.scratch() as folder:
        steps.begin("fetch")
        try:
            files = _files(shop, manifest, _wanted(shop, log, manifest, chosen), folder)
            target = Target(
                log.model, version, digest, manifest, files, _layouts(shop, manifest, files, folder), present
            )
            batches = shop.maker.plan(log, target, chosen, fetch=True)
            jobs = list(chain.from_iterable(b.jobs for b in batches if b.offer.base_version or not bases))
            steps.begin("deltas", sum(j.pair.new.size_bytes for j in jobs))

            def told(made: DeltaMade) -> None:
                if progress:
                    progress.advance(made.whole_bytes)
                    progress.delta(made)

            made, failed = shop.maker.make(target, jobs, told)
        finally:
            steps.end()
    if failed and not made:
        raise ModelcastError(f"no delta was made: {failed[0]}", subject=f"{log.model}/{version}")
    return offered(made)


def _wanted(shop: DeltaShop, log: ModelLog, manifest: Manifest, bases: Sequence[int]) -> set[str]:
    """Digests of the version's files that may get a delta."""
    wanted = {f.digest for f in manifest.files if f.size_bytes >= shop.maker.size_min_bytes}
    if not bases:
        return wanted
    lacking: set[str] = set()
    for base in bases:
        old = shop.maker.manifest(log.updates[base].artifact.manifest_digest)
        lacking |= {p.new.digest for p in pairs_of(manifest, old, size_min_bytes=shop.maker.size_min_bytes)}
    return wanted & lacking


def _files(shop: DeltaShop, manifest: Manifest, wanted: set[str], folder: Path) -> dict[str, Path]:
    """Where the files lie: kept here, else fetched."""
    found: dict[str, Path] = {}
    for file in manifest.files:
        if file.digest in wanted and file.digest not in found:
            path = shop.cache.find(file.digest, file.size_bytes) or shop.maker.fetch(file, folder)
            if path is None:
                raise NotFound("the store has no such bytes", subject=keys.blob(file.digest), hint="publish them again")
            found[file.digest] = path
    return found


def _layouts(shop: DeltaShop, manifest: Manifest, files: Mapping[str, Path], folder: Path) -> dict[str, Layout]:
    """Where tensors lie, by digest. Models say so of ONNX's external data, and are brought for that."""
    models = {f.digest: f for f in manifest.files if is_model(f.path)}
    lie = dict(files)
    for digest, model in models.items() if files.keys() - models.keys() else ():
        if digest not in lie:
            path = shop.cache.find(digest, model.size_bytes) or shop.maker.fetch(model, folder)
            if path is not None:
                lie[digest] = path
    return layouts_by_digest(manifest, lie)
