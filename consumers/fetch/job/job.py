"""One fetch: put an artifact together from what is here, what the region has and what comes over the long link."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, nullcontext
from functools import partial
from pathlib import Path

import structlog

from modelcast.consumers.fetch.cache.artifact_cache import ArtifactCache
from modelcast.consumers.fetch.cache.block_copy import bytes_of, copy_blocks
from modelcast.consumers.fetch.cache.incoming import Incoming
from modelcast.consumers.fetch.cache.whole_files import check_digests, link_twins
from modelcast.consumers.fetch.choosing import Choice, Deltas
from modelcast.consumers.fetch.course import in_words, main_kind, origin_bytes_of
from modelcast.consumers.fetch.job.meter import Account
from modelcast.consumers.fetch.job.report import FetchReport, Wish
from modelcast.consumers.fetch.job.status import FetchStatus, Ticker
from modelcast.consumers.fetch.planning.steps import Part, Step, Way, parts_of, plan
from modelcast.consumers.fetch.rebuild import Rebuilder, WayFailed, here_bytes_of
from modelcast.consumers.fetch.region.bucket import RegionalBucket
from modelcast.consumers.fetch.region.manifests import read_manifest
from modelcast.consumers.fetch.region.write_through import Ahead
from modelcast.consumers.fetch.transfer.download import Download
from modelcast.consumers.fetch.transfer.early import near_or_far, reads_to_come
from modelcast.consumers.fetch.transfer.link import Link, Turn
from modelcast.consumers.fetch.transfer.retry import check
from modelcast.consumers.fetch.transfer.throughput import Gauge
from modelcast.consumers.fetch.ways import FilePlan, Kind, Option
from modelcast.schemas.errors import VerificationFailed
from modelcast.schemas.manifest import Manifest
from modelcast.schemas.ports import ObjectStore, Progress

TURN_FROM_BYTES = 1024 * 1024

log = structlog.get_logger(__name__)


class Job:
    """One fetch.

    Args:
        origin: where the artifact was published.
        region: the regional bucket; None: there is none.
        cache: this machine's.
        choice: which ways there are.
        deltas: how they are used; None: not at all.
        link: what all transfers of this process share.
        turn: this artifact's leave to be read from the origin; None: that needs nobody's.
        progress: told of verified bytes.
        tell: told how far it has come.
        cancelled: asked often.
    """

    def __init__(
        self,
        origin: ObjectStore,
        region: RegionalBucket | None,
        cache: ArtifactCache,
        choice: Choice,
        deltas: Deltas | None,
        *,
        link: Link,
        turn: Turn | None,
        progress: Progress,
        tell: Callable[[FetchStatus], None] | None,
        cancelled: Callable[[], bool],
    ) -> None:
        self._origin = origin
        self._region = region
        self._cache = cache
        self._choice = choice
        self._deltas = deltas
        self._gauge = deltas.gauge if deltas else Gauge()
        self._link = link
        self._turn = turn
        self._progress = progress
        self._account = Account()
        self._cancelled = self._account.noting(cancelled)
        self._ahead = Ahead(region)
        self._rebuilt: set[str] = set()
        self._begun: dict[str, Mapping[int, int]] = {}  # by digest: bytes of blocks that an earlier attempt began
        self._taken: dict[str, Option] = {}  # how each file came, by digest
        self._ticker = Ticker(tell, lambda: self._account.moved_bytes(Way.ORIGIN))

    def already_here(self, manifest_digest: str) -> FetchReport:
        """The artifact is in the cache; see to it that the regional bucket has it too (it may have been emptied)."""
        manifest = self._cache.manifest(manifest_digest)
        if self._region is not None:
            with self._account.timed("regional"):
                if not self._region.has_all():
                    with self._cache.open(manifest_digest) as folder:
                        files = {file.digest: (file, folder / file.path) for file in manifest.files}
                        self._region.admit(manifest, files)
        self._progress(manifest.size_bytes)
        return self._report(manifest, "here already")

    def bring(self, incoming: Incoming, wish: Wish) -> FetchReport:
        """Put the artifact together and publish it in the cache."""
        with self._account.timed("manifest"):
            manifest = self._manifest(wish)
        self._take_turn(manifest)
        with self._account.timed("manifest"):
            regional = self._region.digests(manifest) if self._region else frozenset()
        with self._account.timed("verify"):
            incoming.begin(manifest)
            here = self._cache.files_by_digest()
            steps = plan(manifest, cached=here.keys(), regional=regional)
            linked = {s.file.digest for s in steps if s.way is Way.CACHE and incoming.link(here[s.file.digest], s.file)}
            steps = plan(manifest, cached=linked, regional=regional)
            wanted = {step.file.digest: step for step in steps if step.way is not Way.CACHE}
            resumed = {digest for digest, step in wanted.items() if incoming.path(step.file).exists()}
        with self._account.timed("stage"):
            self._cache.reserve(incoming, [step.file for step in wanted.values()], keep=wish.keep)
        with self._account.timed("verify"):
            missing = {d: self._missing(incoming, step, resumed) for d, step in wanted.items()}
        lacking = {digest: step for digest, step in wanted.items() if missing[digest]}
        for digest in resumed & lacking.keys():
            self._begun[digest] = incoming.begun_blocks(lacking[digest].file, missing[digest])
        had = (wanted[d].file for d in resumed if wanted[d].way is Way.ORIGIN)
        guess = sum(
            f.size_bytes - bytes_of(f, missing[f.digest]) + sum(self._begun.get(f.digest, {}).values()) for f in had
        )
        self._progress(manifest.size_bytes - sum(bytes_of(lacking[d].file, missing[d]) for d in lacking))
        for step in steps:
            local = _BEFORE if step.file.digest in resumed else _LOCAL
            self._taken[step.file.digest] = local if step.file.digest not in lacking else _REGIONAL
        with self._account.kept(incoming.folder / "crossed", guess), self._ahead:
            self._ahead.begin((s.file for s in lacking.values() if s.way is Way.ORIGIN), missing, incoming.path)
            arrived = self._transfer(incoming, wish, lacking, missing, here)
            with self._account.timed("stage"):
                link_twins(incoming, steps)
                incoming.tidy()
            with ExitStack() as synced:  # beside the upload: both wait for disks most of the time
                with self._account.timed("stage"):
                    synced.enter_context(incoming.syncing(manifest))
                self._check_whole(incoming, manifest, steps, regional - arrived)
                with self._account.timed("stage"):
                    synced.close()
            check(self._cancelled)  # before it is forgotten what has crossed
        with self._account.timed("stage"):
            incoming.publish()
        taken = [self._taken[s.file.digest] for s in steps]
        return self._report(manifest, in_words(taken, self._choice.versions), main_kind(taken))

    def _take_turn(self, manifest: Manifest) -> None:
        """Of all workers of the region one brings the artifact; the others find it in the regional bucket then."""
        if self._region is None or manifest.size_bytes < TURN_FROM_BYTES:
            self._turn = None  # asking would cost more than the bytes
        elif self._turn is not None and not self._region.vouched:
            with self._account.timed("turn"):
                self._turn.take()
                if self._region.has_all():
                    self._turn.drop()

    # --- what is to come --------------------------------------------------------------------------------------

    def _manifest(self, wish: Wish) -> Manifest:
        small = wish.size_bytes is not None and wish.size_bytes < TURN_FROM_BYTES
        manifest = near_or_far(self._region, self._read_manifest(wish), at_once=small, cancelled=self._cancelled)
        if wish.size_bytes is not None and manifest.size_bytes != wish.size_bytes:
            raise VerificationFailed(
                f"the manifest's files have {manifest.size_bytes} bytes, the log says {wish.size_bytes}",
                subject=wish.manifest_digest,
            )
        return manifest

    def _read_manifest(self, wish: Wish) -> Callable[[], Manifest]:
        def read() -> Manifest:
            if wish.early is not None and (early := wish.early()) is not None:
                return early
            self._choice.foresee(wish.size_bytes or 0)
            if (wish.size_bytes or 0) >= TURN_FROM_BYTES:
                reads_to_come(self._origin, self._link.readers)
            with self._gauge.request():
                return read_manifest(self._origin, wish.manifest_digest, wish.manifest_key)

        return read

    def _missing(self, incoming: Incoming, step: Step, resumed: Set[str]) -> set[int]:
        check(self._cancelled)
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
        far = {digest: step for digest, step in lacking.items() if step.way is Way.ORIGIN}
        planning = partial(self._account.timed, "plan") if self._choice.concerns(far.values()) else nullcontext
        with planning():
            self._choice.look(far.values(), here)
        arrived: set[str] = set()
        with self._ticker:
            while near or far:
                with planning():
                    files = self._choice.plan(far, missing, partial(here_bytes_of, incoming))
                self._taken.update({f.file.digest: f.chosen for f in files})
                self._account.planned_bytes = origin_bytes_of(files) + self._account.moved_bytes(Way.ORIGIN)
                if planning is not nullcontext:  # else it is over before anybody could read of it
                    self._tell(files)
                direct = [far[f.file.digest] for f in files if not f.chosen.kind.is_rebuilt]
                indirect = [f for f in files if f.chosen.kind.is_rebuilt]
                with self._making(incoming, indirect, missing) as made:
                    self._copy_blocks(incoming, direct, missing)
                    far_most = self._gauge.part_blocks(self._link.readers)
                    parts = parts_of([*near, *direct], missing, self._begun, far_most=far_most)
                    arrived |= self._download(incoming, parts)
                failed = [digest for digest, done in made.items() if not done.result()]
                near, far, self._begun = [], {digest: far[digest] for digest in failed}, {}
                if far:
                    self._start_over(incoming, wish, far, missing)
        return arrived

    def _tell(self, files: Sequence[FilePlan]) -> None:
        words = in_words(list(self._taken.values()), self._choice.versions)
        self._ticker.planned(self._account.planned_bytes, words)
        if any(f.chosen.kind is not Kind.WHOLE for f in files):
            log.info("planned", way=words, bytes_planned=self._account.planned_bytes)

    @contextmanager
    def _making(
        self, incoming: Incoming, files: Sequence[FilePlan], missing: Mapping[str, Set[int]]
    ) -> Iterator[dict[str, "Future[bool]"]]:
        """Files are made from deltas while the block runs, and all of them are done when it ends."""
        if not files or self._deltas is None:
            yield {}
            return
        over = False
        objects = self._new_download(incoming, lambda: over or self._cancelled())
        rebuilder = Rebuilder(
            incoming,
            objects,
            self._choice.files,
            self._choice.regional_bases,
            gauge=self._gauge,
            block_came=self._ahead.came,
            cancelled=lambda: over or self._cancelled(),
            threads=self._deltas.threads,
        )
        with ExitStack() as stack:
            pool = stack.enter_context(ThreadPoolExecutor(min(len(files), self._deltas.at_once), "rebuild"))
            made = {
                f.file.digest: pool.submit(self._make, rebuilder, incoming, f, missing[f.file.digest]) for f in files
            }
            try:
                yield made
                for each in made.values():
                    each.result()
            except BaseException:
                over = True
                for each in made.values():
                    each.cancel()
                raise

    def _make(self, rebuilder: Rebuilder, incoming: Incoming, file: FilePlan, missing: Set[int]) -> bool:
        """Whether the file is there now."""
        entry, chosen = file.file, file.chosen
        started = time.perf_counter()
        try:
            rebuilder.make(entry, chosen)
        except WayFailed as failure:
            self._choice.failed(failure.offer, chosen.base, lasting=failure.lasting)
            log.warning(
                "a delta is of no use: another way is taken",
                path=entry.path,
                way=str(chosen.kind),
                delta=failure.offer.key if failure.offer else None,
                error=failure.cause,
            )
            return False
        finally:
            self._account.add("rebuild", time.perf_counter() - started)
        self._rebuilt.add(entry.digest)
        self._progress(bytes_of(entry, missing))
        return True

    def _start_over(
        self, incoming: Incoming, wish: Wish, far: Mapping[str, Step], missing: dict[str, set[int]]
    ) -> None:
        """Files that could not be made are brought by other ways: they need their room again."""
        with self._account.timed("stage"):
            self._cache.reserve(incoming, [step.file for step in far.values()], keep=wish.keep)
        for digest, step in far.items():
            before, missing[digest] = missing[digest], incoming.missing_blocks(step.file)
            self._progress(bytes_of(step.file, before - missing[digest]))  # blocks that were made before it failed

    def _copy_blocks(self, incoming: Incoming, steps: Sequence[Step], missing: Mapping[str, set[int]]) -> None:
        for step in steps:
            file = step.file
            places = self._choice.reusable(file, missing[file.digest])
            if places:
                with self._account.timed("verify"):
                    copied = copy_blocks(
                        file,
                        incoming.path(file),
                        places,
                        self._choice.files,
                        progress=self._progress,
                        cancelled=self._cancelled,
                    )
                missing[file.digest] -= copied
                for block in copied:
                    self._ahead.came(file.digest, block)

    def _download(self, incoming: Incoming, parts: Sequence[Part]) -> set[str]:
        if not parts:
            return set()
        download = self._new_download(incoming, self._cancelled)
        started = time.perf_counter()
        moved = download.moved_bytes
        try:
            with self._gauge.over_the_link(lambda: 0 if moved[Way.REGION] else moved[Way.ORIGIN]):
                download.run(parts)
        finally:
            seconds = time.perf_counter() - started
            share = moved[Way.ORIGIN] / (sum(moved.values()) or 1)
            self._account.add("origin", seconds * share)
            self._account.add("regional", seconds * (1 - share))
            if not moved[Way.ORIGIN]:
                self._gauge.from_the_region(moved[Way.REGION], seconds)
        return download.arrived

    def _new_download(self, incoming: Incoming, cancelled: Callable[[], bool]) -> Download:
        stores = {Way.ORIGIN: self._origin}
        if self._region:
            stores[Way.REGION] = self._region.store
        download = Download(
            stores,
            lambda part: incoming.path(part.step.file),
            progress=self._progress,
            cancelled=cancelled,
            distrust=self._region.distrust if self._region else _silent,
            block_came=self._ahead.came,
            link=self._link,
            turn=self._turn,
            begun_of=lambda part: incoming.begun(part.step.file),
            far_most=self._gauge.part_blocks(self._link.readers),
        )
        self._account.downloads.append(download)
        return download

    # --- all of it is there -----------------------------------------------------------------------------------

    def _check_whole(
        self, incoming: Incoming, manifest: Manifest, steps: tuple[Step, ...], in_region: Set[str]
    ) -> None:
        """Compare the digests of whole files.

        What enters the region is hashed by the upload, what was there was hashed when it entered.
        """
        files = {step.file.digest: (step.file, incoming.path(step.file)) for step in steps}
        if self._region is not None:
            with self._account.timed("regional"):
                there = in_region | self._ahead.entered(self._cancelled)
                self._region.admit(manifest, {digest: f for digest, f in files.items() if digest not in there})
            return
        with self._account.timed("verify"):
            doubtful = [found for digest, found in files.items() if digest not in self._rebuilt]
            check_digests(doubtful, self._origin.name, self._cancelled)

    def _report(self, manifest: Manifest, way: str, kind: Kind = Kind.CACHE) -> FetchReport:
        return self._account.report(manifest, self._gauge.origin_bytes_per_second, way, kind)


def _silent(_: object) -> None:
    pass


_BEFORE = Option(Kind.RESUMED, 0, 0.0, 0.0)
_LOCAL = Option(Kind.CACHE, 0, 0.0, 0.0)
_REGIONAL = Option(Kind.REGION, 0, 0.0, 0.0)
