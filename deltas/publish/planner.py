"""Which deltas are worth making of an artifact: those that are thought to become small enough."""

import logging
from collections.abc import Mapping, Sequence

from modelcast.deltas.ablation import COMPRESSED_WHOLE, DELTA, DELTAS
from modelcast.deltas.codec import Layout, sampled_ratio, sizes_of
from modelcast.deltas.publish.artifacts import OriginArtifacts
from modelcast.deltas.publish.bases.cache import BaseCache
from modelcast.deltas.publish.forecast import UNKNOWN_RATIO, DeltaForecast
from modelcast.deltas.publish.layouts import MODELS_BYTES_MAX, OldLayouts
from modelcast.deltas.publish.planning.choice import FilePair, file_pairs
from modelcast.deltas.publish.planning.timing import DeltaTiming
from modelcast.deltas.publish.targets import DeltaBatch, DeltaTarget, PlannedDelta, delta_key
from modelcast.infra.settings_publish import PublishSettings
from modelcast.schemas.errors import ModelcastError
from modelcast.schemas.log.fold import ModelLog
from modelcast.schemas.manifest import Manifest

_logger = logging.getLogger(__name__)

KEPT_RATIO_MAX = 0.7
"""A delta larger than this share of the whole is not kept: the whole is as good."""
WHOLE_RATIO_MAX = 0.9
"""A compressed whole saves at least a tenth."""
SAMPLES_MAX = 8


class DeltaPlanner:
    """Plans deltas for one publisher. Thread-safe.

    Args:
        settings: ``publish``.
        artifacts: as the origin holds them.
        cache: where bases are kept.
        forecast: how large deltas become, and how fast they are made.
    """

    def __init__(
        self, settings: PublishSettings, artifacts: OriginArtifacts, cache: BaseCache, forecast: DeltaForecast
    ) -> None:
        self._settings, self._artifacts = settings, artifacts
        self._cache, self._forecast = cache, forecast
        self.size_min_bytes = max(settings.delta_size_min_bytes, 1)
        self._near, self._far = (
            OldLayouts(cache, artifacts.fetch, size_min_bytes=self.size_min_bytes, model_size_max_bytes=size)
            for size in (settings.base_fetch_size_max_bytes, MODELS_BYTES_MAX)
        )

    def plan(
        self, log: ModelLog, target: DeltaTarget, bases: Sequence[int], *, fetch: bool = False
    ) -> list[DeltaBatch]:
        """What to make, in the order of ``bases``, compressed wholes last; sizes are estimates.

        A whole is compressed once, with the version that brings the file: later ones do not carry it again.

        Args:
            log: the fold that holds the bases.
            target: what they make.
            bases: versions, the most useful first.
            fetch: bases that are not kept here may be read from the origin, however large.
        """
        batches, samples_left = [], [SAMPLES_MAX]
        older: set[str] = set()  # digests of files that regions have had before
        distances = {
            v: k for k, v in enumerate(sorted((v for v in log.updates if v < target.version), reverse=True), 1)
        }
        for version in bases:
            try:
                old = self._artifacts.manifest(log.updates[version].artifact.manifest_digest)
            except ModelcastError as error:
                _logger.info("no deltas from a version: %s", error, extra={"model": target.model, "version": version})
                continue
            layouts = self._old_layouts(target, old, fetch=fetch)
            known = _tensors_in(target.manifest, target.layouts), {p: sizes_of(was) for p, was in layouts.items()}
            pairs = file_pairs(target.manifest, old, size_min_bytes=self.size_min_bytes, tensors=known)
            older |= {f.digest for f in old.files}
            if pairs:
                batches.append(
                    self._batch(target, version, distances[version], pairs, old, layouts, samples_left, fetch=fetch)
                )
        wholes = tuple(
            FilePair(f, None)
            for f in {f.digest: f for f in target.manifest.files}.values()
            if f.size_bytes >= self.size_min_bytes and f.digest not in older
        )
        batches.append(self._batch(target, 0, 0, wholes, None, {}, samples_left, fetch=fetch))
        if DELTAS.without(DELTA):
            batches = [b for b in batches if not b.offer.base_version]
        if DELTAS.without(COMPRESSED_WHOLE):
            batches = [b for b in batches if b.offer.base_version]
        return [b for b in batches if b.deltas]

    # --------------------------------------------------------------------------------------------------------

    def _old_layouts(self, target: DeltaTarget, old: Manifest, *, fetch: bool) -> dict[str, Layout | None]:
        """Of a base version's files, by path, if any file that it lacks holds tensors."""
        there = {f.digest for f in old.files}
        wanted = (f for f in target.manifest.files if f.size_bytes >= self.size_min_bytes and f.digest not in there)
        if not any(f.digest in target.layouts for f in wanted):
            return {}
        return (self._far if fetch else self._near).of(old)

    def _batch(
        self,
        target: DeltaTarget,
        version: int,
        distance: int,
        pairs: Sequence[FilePair],
        old: Manifest | None,
        layouts: Mapping[str, Layout | None],  # of the old files, by path
        samples_left: list[int],
        *,
        fetch: bool,
    ) -> DeltaBatch:
        deltas: list[PlannedDelta] = []
        seconds = 0.0
        there = {f.digest for f in old.files} if old else set()
        lacking = {f.digest: f.size_bytes for f in target.manifest.files if f.digest not in there}
        limit = KEPT_RATIO_MAX if version else WHOLE_RATIO_MAX
        estimated_bytes: dict[str, int] = {}
        for pair in sorted(pairs, key=lambda p: -p.new.size_bytes):
            if version and pair.old is None:
                continue
            key = delta_key(target, pair)
            kept = pair.old is None or self._cache.find(pair.old.digest, pair.old.size_bytes) is not None
            may_fetch = fetch or (
                pair.old is not None and pair.old.size_bytes <= self._settings.base_fetch_size_max_bytes
            )
            if key in target.present or not (kept or may_fetch):
                continue
            planned = PlannedDelta(version, pair, distance, layouts.get(pair.old.path) if pair.old else None)
            ratio = self._ratio(target, planned, samples_left)
            if ratio <= limit:
                deltas.append(planned)
                estimated_bytes[pair.new.digest] = int(ratio * pair.new.size_bytes)
                seconds += self._forecast.seconds(pair.new.size_bytes)
        brought_bytes = sum(estimated_bytes.get(d, size) for d, size in lacking.items())
        return DeltaBatch(DeltaTiming(version, brought_bytes, seconds), tuple(deltas), sum(lacking.values()))

    def _ratio(self, target: DeltaTarget, planned: PlannedDelta, samples_left: list[int]) -> float:
        pair, distance = planned.pair, planned.distance
        new = target.files.get(pair.new.digest)
        old = self._cache.find(pair.old.digest, pair.old.size_bytes) if pair.old else None
        if new is not None and (pair.old is None or old is not None) and samples_left[0] > 0:
            samples_left[0] -= 1
            with self._cache.scratch() as folder:
                return sampled_ratio(old, new, (planned.old_layout, target.layouts.get(pair.new.digest)), folder)
        known = self._forecast.ratio((target.model, distance))
        return UNKNOWN_RATIO if known is None else min(known, KEPT_RATIO_MAX)


def _tensors_in(manifest: Manifest, layouts: Mapping[str, Layout]) -> dict[str, dict[str, int]]:
    return {f.path: sizes_of(layouts[f.digest]) for f in manifest.files if f.digest in layouts}
