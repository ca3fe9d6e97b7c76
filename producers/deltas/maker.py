"""Making the deltas of one artifact and putting them beside it."""

import hashlib
import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from modelcast.deltas import codec as delta
from modelcast.deltas.codec.layouts.tensors import Layout, sizes_of
from modelcast.infra.settings import PublishSettings
from modelcast.producers.deltas.base_cache import BaseCache
from modelcast.producers.deltas.choice import Pair, pairs_of
from modelcast.producers.deltas.copies import Copies
from modelcast.producers.deltas.forecast import UNKNOWN_RATIO, Forecast, sampled_ratio
from modelcast.producers.deltas.layouts import MODELS_BYTES_MAX, OldLayouts, is_model
from modelcast.producers.deltas.offers import DeltaMade
from modelcast.producers.deltas.timing import Offer
from modelcast.schemas import keys
from modelcast.schemas.digests import hex_of
from modelcast.schemas.errors import ContentError, ModelcastError, NotFound, Refused, TransportError
from modelcast.schemas.log import ModelLog
from modelcast.schemas.manifest import MANIFEST_SIZE_MAX, FileEntry, Manifest
from modelcast.schemas.ports import ObjectStore

_logger = logging.getLogger(__name__)

KEPT_RATIO_MAX = 0.7
"""A delta larger than this share of the whole is not kept: the whole is as good."""
WHOLE_RATIO_MAX = 0.9
"""A compressed whole saves at least a tenth."""
SAMPLES_MAX = 8
MANIFESTS_KEPT = 32

Told = Callable[[DeltaMade], None]


class _Stopped(Exception):
    """Nobody wants it any more."""


@dataclass(frozen=True, slots=True)
class Target:
    """What deltas are to make: an artifact, and where its files lie here, by digest."""

    model: str
    version: int
    manifest_digest: str
    manifest: Manifest
    files: Mapping[str, Path]
    layouts: Mapping[str, Layout]  # by digest, as far as they are known
    present: frozenset[str] = frozenset()  # keys of deltas that the store has


@dataclass(frozen=True, slots=True)
class Job:
    """One delta of one file; base version 0: a compressed whole."""

    base_version: int
    pair: Pair
    distance: int  # how many versions back
    old_layout: Layout | None = None  # of the base, if it is known


@dataclass(frozen=True, slots=True)
class Batch:
    """All deltas from one version. ``whole_bytes``: what a region that holds it would bring without them."""

    offer: Offer
    jobs: tuple[Job, ...]
    whole_bytes: int


class DeltaMaker:
    """Plans and makes deltas for one publisher. Thread-safe.

    Args:
        settings: ``publish``.
        store: the origin.
        cache: where bases are kept.
    """

    def __init__(self, settings: PublishSettings, store: ObjectStore, cache: BaseCache) -> None:
        self._settings = settings
        self._store = store
        self._cache = cache
        self._forecast = Forecast()
        self._manifests: OrderedDict[str, Manifest] = OrderedDict()
        self._lock = threading.Lock()
        self.size_min_bytes = max(settings.delta_size_min_bytes, 1)
        self._near, self._far = (
            OldLayouts(cache, self.fetch, size_min_bytes=self.size_min_bytes, model_size_max_bytes=size)
            for size in (settings.base_fetch_size_max_bytes, MODELS_BYTES_MAX)
        )

    def remember(self, manifest_digest: str, manifest: Manifest) -> None:
        """A manifest that will be wanted again."""
        with self._lock:
            self._manifests[manifest_digest] = manifest
            self._manifests.move_to_end(manifest_digest)
            while len(self._manifests) > MANIFESTS_KEPT:
                self._manifests.popitem(last=False)

    def manifest(self, digest: str) -> Manifest:
        """An artifact's manifest.

        Raises:
            NotFound: the store has lost it.
            ContentError: it is not what its name says.
        """
        with self._lock:
            known = self._manifests.get(digest)
        if known is None:
            found = self._store.get(keys.manifest(digest), size_max=MANIFEST_SIZE_MAX)
            if found is None:
                raise NotFound("no such manifest", subject=keys.manifest(digest))
            known = Manifest.decode(found.body, expected_digest=digest)
            self.remember(digest, known)
        return known

    def plan(self, log: ModelLog, target: Target, bases: Sequence[int], *, fetch: bool = False) -> list[Batch]:
        """What to make, in the order of ``bases``, compressed wholes last; sizes are estimates.

        A whole is compressed once, with the version that brings the file: later ones do not carry it again.

        Args:
            log: the fold that holds the bases.
            target: what they make.
            bases: versions, the most useful first.
            fetch: bases that are not kept here may be read from the origin, however large.
        """
        batches, budget = [], [SAMPLES_MAX]
        older: set[str] = set()  # digests of files that regions have had before
        distances = {
            v: k for k, v in enumerate(sorted((v for v in log.updates if v < target.version), reverse=True), 1)
        }
        for version in bases:
            try:
                old = self.manifest(log.updates[version].artifact.manifest_digest)
            except ModelcastError as error:
                _logger.info("no deltas from a version: %s", error, extra={"model": target.model, "version": version})
                continue
            layouts = self._old_layouts(target, old, fetch=fetch)
            known = _tensors_in(target.manifest, target.layouts), {p: sizes_of(was) for p, was in layouts.items()}
            pairs = pairs_of(target.manifest, old, size_min_bytes=self.size_min_bytes, tensors=known)
            older |= {f.digest for f in old.files}
            if pairs:
                batches.append(
                    self._batch(target, version, distances[version], pairs, old, layouts, budget, fetch=fetch)
                )
        wholes = tuple(
            Pair(f, None)
            for f in {f.digest: f for f in target.manifest.files}.values()
            if f.size_bytes >= self.size_min_bytes and f.digest not in older
        )
        batches.append(self._batch(target, 0, 0, wholes, None, {}, budget, fetch=fetch))
        return [b for b in batches if b.jobs]

    def make(
        self,
        target: Target,
        jobs: Iterable[Job],
        told: Told | None = None,
        stopped: Callable[[], bool] = lambda: False,
        copies: Copies | None = None,
    ) -> tuple[list[DeltaMade], list[str]]:
        """Make deltas and put them into the store.

        Args:
            told: called with each that was made.
            stopped: asked between blocks; once it is true, what was made so far is all.
            copies: of the files of the target; None: nobody else writes them.

        Returns:
            What was made, and for each that failed why; once the store can't be written, nothing more is tried.
        """

        def check() -> None:
            if stopped():
                raise _Stopped

        made: list[DeltaMade] = []
        failed: list[str] = []
        for job in jobs:
            try:
                check()
                done = self._make(target, job, check, copies)
            except _Stopped:
                break
            except (TransportError, Refused) as error:
                failed.append(str(error))
                break
            except Exception as error:  # whatever it is, without this delta the whole travels
                _logger.warning("a delta was not made: %s", error, extra={"model": target.model})
                failed.append(f"{job.pair.new.path}: {error}")
                continue
            if done is not None:
                made.append(done)
                if told:
                    told(done)
        return made, failed

    def keep(self, target: Target, copies: Copies) -> None:
        """Keep the artifact's files as bases of later deltas; what was copied already is moved there."""
        self.remember(target.manifest_digest, target.manifest)
        bases = [f for f in target.manifest.files if f.size_bytes >= self.size_min_bytes]
        models = [f for f in target.manifest.files if is_model(f.path) and f.size_bytes <= MODELS_BYTES_MAX]
        for file in {f.digest: f for f in (*bases, *models)}.values() if bases else ():
            path = target.files.get(file.digest)
            if path is not None and not copies.keep(file.digest, file.size_bytes):
                self._cache.keep(path, file.digest, file.size_bytes)

    def fetch(self, file: FileEntry, folder: Path, check: Callable[[], None] = lambda: None) -> Path | None:
        """A file from the origin, checked, in ``folder``; None if it is not there or not what its name says.

        Args:
            check: called often; what it raises ends it.

        Raises:
            TransportError: the store can't be reached.
        """
        path = folder / hex_of(file.digest)
        hashed, left = hashlib.sha256(), file.size_bytes
        try:
            with self._store.open(keys.blob(file.digest)) as stream, path.open("wb") as out:
                buffer = memoryview(bytearray(1 << 20))
                while left > 0 and (count := stream.readinto(buffer[: min(left, len(buffer))])):
                    check()
                    hashed.update(buffer[:count])
                    out.write(buffer[:count])
                    left -= count
        except NotFound:
            return None
        return path if not left and "sha256:" + hashed.hexdigest() == file.digest else None

    # --------------------------------------------------------------------------------------------------------

    def _old_layouts(self, target: Target, old: Manifest, *, fetch: bool) -> dict[str, Layout | None]:
        """Of a base version's files, by path, if any file that it lacks holds tensors."""
        there = {f.digest for f in old.files}
        wanted = (f for f in target.manifest.files if f.size_bytes >= self.size_min_bytes and f.digest not in there)
        if not any(f.digest in target.layouts for f in wanted):
            return {}
        return (self._far if fetch else self._near).of(old)

    def _batch(
        self,
        target: Target,
        version: int,
        distance: int,
        pairs: Sequence[Pair],
        old: Manifest | None,
        layouts: Mapping[str, Layout | None],  # of the old files, by path
        budget: list[int],
        *,
        fetch: bool,
    ) -> Batch:
        jobs: list[Job] = []
        seconds = 0.0
        there = {f.digest for f in old.files} if old else set()
        lacking = {f.digest: f.size_bytes for f in target.manifest.files if f.digest not in there}
        limit = KEPT_RATIO_MAX if version else WHOLE_RATIO_MAX
        foretold: dict[str, int] = {}
        for pair in sorted(pairs, key=lambda p: -p.new.size_bytes):
            if version and pair.old is None:
                continue
            key = _key(target, pair)
            kept = pair.old is None or self._cache.find(pair.old.digest, pair.old.size_bytes) is not None
            may_fetch = fetch or (
                pair.old is not None and pair.old.size_bytes <= self._settings.base_fetch_size_max_bytes
            )
            if key in target.present or not (kept or may_fetch):
                continue
            job = Job(version, pair, distance, layouts.get(pair.old.path) if pair.old else None)
            ratio = self._ratio(target, job, budget)
            if ratio <= limit:
                jobs.append(job)
                foretold[pair.new.digest] = int(ratio * pair.new.size_bytes)
                seconds += self._forecast.seconds(pair.new.size_bytes)
        brought_bytes = sum(foretold.get(d, size) for d, size in lacking.items())
        return Batch(Offer(version, brought_bytes, seconds), tuple(jobs), sum(lacking.values()))

    def _ratio(self, target: Target, job: Job, budget: list[int]) -> float:
        pair, distance = job.pair, job.distance
        new = target.files.get(pair.new.digest)
        old = self._cache.find(pair.old.digest, pair.old.size_bytes) if pair.old else None
        if new is not None and (pair.old is None or old is not None) and budget[0] > 0:
            budget[0] -= 1
            with self._cache.scratch() as folder:
                return sampled_ratio(old, new, (job.old_layout, target.layouts.get(pair.new.digest)), folder)
        known = self._forecast.ratio((target.model, distance))
        return UNKNOWN_RATIO if known is None else min(known, KEPT_RATIO_MAX)

    def _make(self, target: Target, job: Job, check: Callable[[], None], copies: Copies | None) -> DeltaMade | None:
        """One delta, in the store; None if it is not worth keeping, or its base can't be had."""
        pair, began = job.pair, time.monotonic()
        new, base, fetched = target.files.get(pair.new.digest), None, None
        with self._cache.scratch() as folder:
            if pair.old is not None:
                base = self._cache.find(pair.old.digest, pair.old.size_bytes)
                base = fetched = self.fetch(pair.old, folder, check) if base is None else base
            if new is None or (pair.old is not None and base is None):
                return None
            new = copies.of(new, pair.new.digest) if copies is not None else new
            size, out = self._encode(target, job, new, base, folder / "delta", check, copies), folder / "delta"
            check()
            if fetched is not None and pair.old is not None and fetched.parent == folder:
                self._cache.take(fetched, pair.old.digest)
            kept = size <= (KEPT_RATIO_MAX if pair.old else WHOLE_RATIO_MAX) * pair.new.size_bytes
            if kept:
                with out.open("rb") as file:
                    digest = "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()
                self._store.upload(_key(target, pair), out, size_bytes=size, digest=digest, progress=lambda _: check())
            took_seconds = time.monotonic() - began
            self._forecast.learn((target.model, job.distance), pair.new.size_bytes, size, took_seconds)
        return DeltaMade(job.base_version, pair.new.path, pair.new.size_bytes, size, took_seconds) if kept else None

    def _encode(
        self,
        target: Target,
        job: Job,
        new: Path,
        base: Path | None,
        out: Path,
        check: Callable[[], None],
        copies: Copies | None,
    ) -> int:
        """The size of the delta written. Digests are computed, not handed in: no file is trusted to be what it was."""
        pair, threads = job.pair, self._settings.delta_threads or None
        new_layout = target.layouts.get(pair.new.digest)
        info = delta.make(
            base, new, out, old_layout=job.old_layout, new_layout=new_layout, threads=threads, check=check
        )
        if info.new_digest != pair.new.digest:
            if copies is not None:
                copies.drop(pair.new.digest)
            raise ContentError("it has changed since it was published", subject=str(new))
        if pair.old is not None and info.base_digest != pair.old.digest:
            self._cache.drop(pair.old.digest)
            raise ContentError("its base is damaged here and was dropped", subject=pair.old.path, hint="publish again")
        return info.delta_size_bytes


def _tensors_in(manifest: Manifest, layouts: Mapping[str, Layout]) -> dict[str, dict[str, int]]:
    return {f.path: sizes_of(layouts[f.digest]) for f in manifest.files if f.digest in layouts}


def _key(target: Target, pair: Pair) -> str:
    return keys.delta(target.manifest_digest, pair.new.digest, pair.old.digest if pair.old else None)
