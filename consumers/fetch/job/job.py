"""One fetch: put an artifact together from what is here, what the region has and what comes over the long link."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from threading import Event

import structlog

from modelcast.consumers.fetch.accelerator import Accelerator, HeldFiles, Request, Session
from modelcast.consumers.fetch.cache.artifact_cache import ArtifactCache
from modelcast.consumers.fetch.cache.block_copy import copy_blocks
from modelcast.consumers.fetch.cache.block_index import REUSE_FROM_BYTES, block_index
from modelcast.consumers.fetch.cache.incoming import Incoming
from modelcast.consumers.fetch.cache.whole_files import check_digests, files_to_make, link_twins, take_over
from modelcast.consumers.fetch.context import Context
from modelcast.consumers.fetch.job.destination import IncomingDestination, IncomingFiles
from modelcast.consumers.fetch.job.status import MANY_FILES, FetchStatus, Ticker
from modelcast.consumers.fetch.planning.parts import Part, parts_of
from modelcast.consumers.fetch.planning.steps import (
    Source,
    Step,
    Way,
    bytes_of,
    in_words,
    main_kind,
    origin_bytes_of,
    reusable,
    steps_of,
    without_detour,
)
from modelcast.consumers.fetch.region.bucket import RegionalBucket
from modelcast.consumers.fetch.region.manifests import read_manifest
from modelcast.consumers.fetch.region.nearest import near_or_far
from modelcast.consumers.fetch.region.write_through import WriteThrough
from modelcast.consumers.fetch.report import FetchReport, Wish
from modelcast.consumers.fetch.transfer.download import Download
from modelcast.consumers.fetch.transfer.early import reads_to_come
from modelcast.consumers.fetch.transfer.link import Lease, Link
from modelcast.infra.ablation import CHANGED_BLOCKS, without
from modelcast.schemas.errors import VerificationFailed
from modelcast.schemas.manifest import Manifest

LEASE_FROM_BYTES = 1024 * 1024

log = structlog.get_logger(__name__)


class Job:
    """One fetch.

    Args:
        request: what, from where.
        region: the regional bucket; None: there is none.
        cache: this machine's.
        accelerator: knows better ways.
        link: what all transfers of this process share.
        lease: this artifact's; None: the origin is read without one.
        context: the fetch's.
        on_status: called with how far it has come.
    """

    def __init__(
        self,
        request: Request,
        region: RegionalBucket | None,
        cache: ArtifactCache,
        accelerator: Accelerator,
        *,
        link: Link,
        lease: Lease | None,
        context: Context,
        on_status: Callable[[FetchStatus], None] | None,
    ) -> None:
        self._request = request
        self._origin = request.origin
        self._cache = cache
        self._region = region
        self._accelerator = accelerator
        self._session: Session = accelerator.session(request)
        self._throughput = link.throughput
        self._link = link
        self._lease = lease
        self._context = context
        self._meter = context.meter
        self._write_through = WriteThrough(region)
        self._rebuilt: set[str] = set()
        self._written: dict[str, Mapping[int, int]] = {}  # by digest: bytes of blocks that an earlier attempt began
        self._taken: dict[str, Step] = {}  # how each file came, by digest
        self._blocks: Mapping[str, tuple[str, int]] = {}
        self._ticker = Ticker(on_status, self._meter)

    def already_here(self, manifest_digest: str) -> FetchReport:
        """The artifact is in the cache; see to it that the regional bucket has it too (it may have been emptied)."""
        manifest = self._cache.manifest(manifest_digest)
        if self._region is not None:
            with self._meter.timed("regional"):
                if not self._region.has_all():
                    with self._cache.open(manifest_digest) as folder:
                        files = {file.digest: (file, folder / file.path) for file in manifest.files}
                        self._region.admit(manifest, files)
        self._context.progress(manifest.size_bytes)
        return self._report(manifest, "here already")

    def bring(self, incoming: Incoming, wish: Wish) -> FetchReport:
        """Put the artifact together and publish it in the cache."""
        with self._ticker:
            return self._bring(incoming, wish)

    def _bring(self, incoming: Incoming, wish: Wish) -> FetchReport:
        with self._meter.timed("manifest"):
            manifest = self._manifest(wish)
        if len(manifest.files) >= MANY_FILES:
            self._ticker.start()
        self._take_lease(manifest)
        with self._meter.timed("manifest"):
            regional = self._region.digests(manifest) if self._region else frozenset()
        with self._meter.timed("verify"):
            incoming.begin(manifest)
            here = self._cache.files_by_digest()
            steps = steps_of(manifest, cached=here.keys(), regional=regional)
            linked = take_over(incoming, [s for s in steps if s.way is Way.CACHE], here, self._context)
            steps = steps_of(manifest, cached=linked, regional=regional)
            wanted = {step.file.digest: step for step in steps if step.way is not Way.CACHE}
            resumed = {digest for digest, step in wanted.items() if incoming.path(step.file).exists()}
        with self._meter.timed("stage"):
            self._cache.reserve(incoming, files_to_make(incoming, wanted.values()), keep=wish.keep)
        with self._meter.timed("verify"):
            missing = {d: self._missing(incoming, step, resumed) for d, step in wanted.items()}
        lacking = {digest: step for digest, step in wanted.items() if missing[digest]}
        for digest in resumed & lacking.keys():
            self._written[digest] = incoming.written_blocks(lacking[digest].file, missing[digest])
        had = (wanted[d].file for d in resumed if wanted[d].way is not Way.REGION)
        guess = sum(
            f.size_bytes - bytes_of(f, missing[f.digest]) + sum(self._written.get(f.digest, {}).values()) for f in had
        )
        self._context.progress(manifest.size_bytes - sum(bytes_of(lacking[d].file, missing[d]) for d in lacking))
        for step in steps:
            digest = step.file.digest
            before = replace(step, way=Way.RESUMED if digest in resumed else Way.CACHE)
            self._taken[digest] = step if digest in lacking else before
        with self._meter.kept(incoming.folder / "crossed", guess), self._write_through:
            self._write_through.begin(
                (s.file for s in lacking.values() if s.way is not Way.REGION), missing, incoming.path
            )
            arrived = self._transfer(incoming, wish, lacking, missing, here)
            with self._meter.timed("stage"):
                link_twins(incoming, steps)
                incoming.tidy()
            with ExitStack() as synced:  # beside the upload: both wait for disks most of the time
                with self._meter.timed("stage"):
                    synced.enter_context(incoming.syncing(manifest))
                self._check_whole(incoming, manifest, steps, regional - arrived)
                with self._meter.timed("stage"):
                    synced.close()
            self._context.check()  # before it is forgotten what has crossed
        with self._meter.timed("stage"):
            incoming.publish()
            self._cache.note_verified(manifest)
        taken = [self._taken[s.file.digest] for s in steps]
        return self._report(manifest, in_words(taken), main_kind(taken))

    def _take_lease(self, manifest: Manifest) -> None:
        """Of all workers of the region one brings the artifact; the others find it in the regional bucket then."""
        if self._region is None or manifest.size_bytes < LEASE_FROM_BYTES:
            self._lease = None  # asking would cost more than the bytes
        elif self._lease is not None and not self._region.vouched:
            with self._meter.timed("lease"):
                self._lease.take()
                if self._region.has_all():
                    self._lease.drop()

    # --- what is to come --------------------------------------------------------------------------------------

    def _manifest(self, wish: Wish) -> Manifest:
        small = wish.size_bytes is not None and wish.size_bytes < LEASE_FROM_BYTES
        manifest = near_or_far(self._region, self._read_manifest(wish), at_once=small, context=self._context)
        if wish.size_bytes is not None and manifest.size_bytes != wish.size_bytes:
            raise VerificationFailed(
                f"the manifest's files have {manifest.size_bytes} bytes, the log's entry declares {wish.size_bytes}",
                subject=wish.manifest_digest,
            )
        return manifest

    def _read_manifest(self, wish: Wish) -> Callable[[], Manifest]:
        def read() -> Manifest:
            if wish.early is not None and (early := wish.early()) is not None:
                return early
            self._accelerator.prefetch(self._request, wish.size_bytes or 0)
            if (wish.size_bytes or 0) >= LEASE_FROM_BYTES:
                reads_to_come(self._origin, self._link.readers)
            with self._throughput.request():
                return read_manifest(self._origin, wish.manifest_digest, wish.manifest_key)

        return read

    def _missing(self, incoming: Incoming, step: Step, resumed: Set[str]) -> set[int]:
        self._context.check()
        if step.file.digest in resumed:
            return incoming.missing_blocks(step.file)
        return set(range(len(step.file.blocks)))

    # --- bringing it ------------------------------------------------------------------------------------------

    def _transfer(
        self,
        incoming: Incoming,
        wish: Wish,
        lacking: Mapping[str, Step],
        missing: dict[str, set[int]],
        here: Mapping[str, Path],
    ) -> set[str]:
        """Bring what is ``lacking``, file by file by its cheapest way, then the next; which came from the origin."""
        near = [step for step in lacking.values() if step.way is Way.REGION]
        far = {digest: step for digest, step in lacking.items() if step.way is not Way.REGION}
        large = any(step.file.size_bytes >= REUSE_FROM_BYTES for step in far.values())
        planning = partial(self._meter.timed, "plan") if large else nullcontext
        with planning():
            indexed = large and not without(CHANGED_BLOCKS)
            self._blocks = block_index(self._cache, here, without=wish.manifest_digest) if indexed else {}
        held = HeldFiles(here, incoming.aside)
        arrived: set[str] = set()
        self._meter.files_begin("fetching", len(lacking))
        while near or far:
            with planning():
                whole = [without_detour(s, missing[d], self._reusable_of(s)) for d, s in far.items()]
                steps = self._session.improve(whole, held, self._context) if far else ()
            self._taken.update({step.file.digest: step for step in steps})
            self._meter.planned_bytes = origin_bytes_of(steps) + self._meter.moved_bytes(Source.ORIGIN)
            lengthy = any(step.file.size_bytes >= REUSE_FROM_BYTES for step in (*near, *far.values()))
            if lengthy or len(lacking) >= MANY_FILES:  # else it is over before a person could read of it
                self._log_plan(steps)
            direct = [step for step in steps if step.way is not Way.ACCELERATED]
            detours = [step for step in steps if step.way is Way.ACCELERATED]
            with self._making(incoming, detours, missing) as made:
                self._copy_blocks(incoming, direct, missing, here)
                far_most = self._throughput.part_blocks(self._link.readers)
                parts = parts_of([*near, *direct], missing, self._written, far_most=far_most)
                arrived |= self._download(incoming, parts)
            failed = [digest for digest, done in made.items() if not done.result()]
            near, far, self._written = [], {digest: far[digest] for digest in failed}, {}
            if far:
                self._start_over(incoming, wish, far, missing)
        return arrived

    def _reusable_of(self, step: Step) -> Mapping[str, tuple[str, int]]:
        return self._blocks if step.file.size_bytes >= REUSE_FROM_BYTES else {}

    def _log_plan(self, steps: Sequence[Step]) -> None:
        words = in_words(list(self._taken.values()))
        self._ticker.planned(self._meter.planned_bytes, words)
        if any(step.way is not Way.WHOLE for step in steps):
            log.info("planned", way=words, bytes_planned=self._meter.planned_bytes)

    @contextmanager
    def _making(
        self, incoming: Incoming, steps: Sequence[Step], missing: Mapping[str, Set[int]]
    ) -> Iterator[dict[str, "Future[bool]"]]:
        """The accelerator brings files while the block runs, and is done with all of them when it ends."""
        if not steps:
            yield {}
            return
        over = Event()
        context = self._context.narrowed(over)
        destination = IncomingDestination(
            incoming, self._new_download(incoming, context), self._write_through, self._throughput
        )

        def bring(step: Step) -> bool:
            if not self._session.bring(step, destination, context):
                return False
            self._rebuilt.add(step.file.digest)
            self._context.progress(bytes_of(step.file, missing[step.file.digest]))
            self._meter.file_done()
            return True

        with ThreadPoolExecutor(min(len(steps), self._session.at_once), "accelerator") as pool:
            made = {step.file.digest: pool.submit(bring, step) for step in steps}
            try:
                yield made
                for each in made.values():
                    each.result()
            except BaseException:
                over.set()
                for each in made.values():
                    each.cancel()
                raise

    def _start_over(
        self, incoming: Incoming, wish: Wish, far: Mapping[str, Step], missing: dict[str, set[int]]
    ) -> None:
        """Files that could not be made are brought by other ways: they need their room again."""
        with self._meter.timed("stage"):
            self._cache.reserve(incoming, [step.file for step in far.values()], keep=wish.keep)
        for digest, step in far.items():
            before, missing[digest] = missing[digest], incoming.missing_blocks(step.file)
            self._context.progress(
                bytes_of(step.file, before - missing[digest])
            )  # blocks that were made before it failed

    def _copy_blocks(
        self,
        incoming: Incoming,
        steps: Sequence[Step],
        missing: Mapping[str, set[int]],
        here: Mapping[str, Path],
    ) -> None:
        for step in steps:
            file = step.file
            places = reusable(file, self._reusable_of(step), missing[file.digest])
            if places:
                with self._meter.timed("verify"):
                    copied = copy_blocks(file, incoming.path(file), places, here, context=self._context)
                missing[file.digest] -= copied
                if not missing[file.digest]:
                    self._meter.file_done()
                for block in copied:
                    self._write_through.came(file.digest, block)

    def _download(self, incoming: Incoming, parts: Sequence[Part]) -> set[str]:
        if not parts:
            return set()
        download = self._new_download(incoming, self._context)
        started = time.perf_counter()
        moved = download.moved_bytes
        try:
            with self._throughput.over_the_link(lambda: 0 if moved[Source.REGION] else moved[Source.ORIGIN]):
                download.run(parts)
        finally:
            seconds = time.perf_counter() - started
            share = moved[Source.ORIGIN] / (sum(moved.values()) or 1)
            self._meter.add("origin", seconds * share)
            self._meter.add("regional", seconds * (1 - share))
            if not moved[Source.ORIGIN]:
                self._throughput.from_the_region(moved[Source.REGION], seconds)
        return download.arrived

    def _new_download(self, incoming: Incoming, context: Context) -> Download:
        stores = {Source.ORIGIN: self._origin}
        if self._region:
            stores[Source.REGION] = self._region.store
        return Download(
            stores,
            IncomingFiles(incoming, self._region, self._write_through),
            context=context,
            link=self._link,
            lease=self._lease,
            far_most=self._throughput.part_blocks(self._link.readers),
        )

    # --- all of it is there -----------------------------------------------------------------------------------

    def _check_whole(
        self, incoming: Incoming, manifest: Manifest, steps: tuple[Step, ...], in_region: Set[str]
    ) -> None:
        """Compare the digests of whole files.

        What enters the region is hashed by the upload, what was there was hashed when it entered.
        """
        files = {step.file.digest: (step.file, incoming.path(step.file)) for step in steps}
        if self._region is not None:
            with self._meter.timed("regional"):
                there = in_region | self._write_through.entered(self._context)
                self._region.admit(manifest, {digest: f for digest, f in files.items() if digest not in there})
            return
        with self._meter.timed("verify"):
            doubtful = [found for digest, found in files.items() if digest not in self._rebuilt]
            check_digests(doubtful, self._origin.name, self._context)

    def _report(self, manifest: Manifest, words: str, kind: str = Way.CACHE) -> FetchReport:
        moved = self._meter.moved_bytes(Source.ORIGIN)
        return FetchReport(
            bytes_moved=moved,
            bytes_saved=max(0, manifest.size_bytes - moved - self._meter.had_bytes),
            bytes_total=manifest.size_bytes,
            stage_seconds=self._meter.stage_seconds(),
            bytes_planned=self._meter.planned_bytes,
            bytes_per_second=self._throughput.origin_bytes_per_second,
            way=words,
            kind=kind,
            files=len(manifest.files),
            stage_times_us=self._meter.stage_times_us(),
        )
