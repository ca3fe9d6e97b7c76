"""What a fetch may choose from: what machine and region hold, what the store offers, and how fast things go."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Set
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path

import structlog

from modelcast.consumers.fetch.cache.artifact_cache import ArtifactCache
from modelcast.consumers.fetch.cache.block_copy import bytes_of
from modelcast.consumers.fetch.course import Kin, patience, seconds_of, unoffered, worth_a_look
from modelcast.consumers.fetch.offers import read_offers
from modelcast.consumers.fetch.planning.steps import Step
from modelcast.consumers.fetch.region.bucket import RegionalBucket
from modelcast.consumers.fetch.region.manifests import find_manifest
from modelcast.consumers.fetch.transfer.early import started
from modelcast.consumers.fetch.transfer.retry import check
from modelcast.consumers.fetch.transfer.throughput import Gauge
from modelcast.consumers.fetch.ways import FilePlan, Holdings, Offer, Wanted, plan_files, reusable
from modelcast.consumers.pod.artifacts import ArtifactMissing
from modelcast.schemas import keys
from modelcast.schemas.errors import ModelcastError, VerificationFailed
from modelcast.schemas.manifest import BLOCK_SIZE_BYTES, FileEntry, Manifest
from modelcast.schemas.ports import ObjectStore

SIZE_MIN_BYTES = 256 * 1024
LOOK_UNASKED_BYTES_MIN = 1024 * 1024
"""Without a hint less than this is not worth a listing."""
ARTIFACTS_REMEMBERED = 1000

_BLANK = sha256(bytes(BLOCK_SIZE_BYTES)).hexdigest()  # a short last block of zeros may pass for brought
log = structlog.get_logger(__name__)


class BadOffers:
    """Deltas that failed, by artifact, so that nobody tries them twice. A new object at an old key is a new offer."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._by_artifact: OrderedDict[str, set[tuple[str, str]]] = OrderedDict()

    def add(self, manifest_digest: str, offer: Offer) -> None:
        """``offer`` failed for good."""
        with self._lock:
            self._by_artifact.setdefault(manifest_digest, set()).add((offer.key, offer.etag))
            if len(self._by_artifact) > ARTIFACTS_REMEMBERED:
                self._by_artifact.popitem(last=False)

    def of(self, manifest_digest: str) -> frozenset[tuple[str, str]]:
        """(key, etag) of what failed."""
        with self._lock:
            return frozenset(self._by_artifact.get(manifest_digest, ()))


@dataclass(frozen=True, slots=True)
class Deltas:
    """How a process uses deltas.

    Attributes:
        gauge: measured speeds.
        size_min_bytes: smaller files travel whole.
        threads: of the codec; None: all cores.
        at_once: deltas that arrive while another is applied.
        wait_seconds_max: for a delta that was foretold; 0: never.
        poll_seconds: how often it is looked for; more often at first, as most deltas are soon there.
    """

    gauge: Gauge = field(default_factory=Gauge)
    size_min_bytes: int = SIZE_MIN_BYTES
    threads: int | None = None
    at_once: int = 2
    wait_seconds_max: float = 30.0
    poll_seconds: float = 1.0
    bad: BadOffers = field(default_factory=BadOffers)


class Choice:
    """One fetch's ways. Not thread-safe.

    Args:
        deltas: whether and how deltas are used; None: not at all.
        origin: where they are offered.
        region: the regional bucket, if there is one.
        cache: this machine's artifacts.
        manifest_digest: what is wanted.
        kin: other versions of the same model.
        cancelled: asked while waiting.
    """

    def __init__(
        self,
        deltas: Deltas | None,
        origin: ObjectStore,
        region: RegionalBucket | None,
        cache: ArtifactCache,
        manifest_digest: str,
        kin: Kin,
        cancelled: Callable[[], bool],
    ) -> None:
        self._deltas = deltas
        self._origin = origin
        self._region = region
        self._cache = cache
        self._digest = manifest_digest
        self._kin = kin
        self._cancelled = cancelled
        self._offers: tuple[Offer, ...] = ()
        self._older: tuple[Offer, ...] | None = None  # under earlier versions; None: not asked yet
        self._large: tuple[FileEntry, ...] = ()
        self._early: Callable[[], tuple[Offer, ...] | None] | None = None  # what was looked for in advance
        self._here_bytes: Callable[[Offer], int] = lambda _: 0
        self._failed: set[tuple[str, str]] = set()  # in this fetch
        self._bases_lost: set[str] = set()
        self._waited = False
        self._looked = False
        self._manifests: dict[str, Manifest] = {}  # held on this machine
        self.files: dict[str, Path] = {}
        self.blocks: dict[str, tuple[str, int]] = {}
        self.regional_bases: dict[str, int] = {}
        self.versions: dict[str, int] = {}

    def concerns(self, far: Iterable[Step]) -> bool:
        """Whether any of these files is large enough to think about."""
        return any(step.file.size_bytes >= self._size_min for step in far)

    def foresee(self, size_bytes: int) -> None:
        """The manifest of an artifact of this size is being read from the origin: look for deltas of it meanwhile."""
        if self._early is not None or size_bytes < self._size_min:
            return
        if self._may_find_deltas(size_bytes, holds_others=bool(self._cache.digests())):
            self._early = started(lambda: read_offers(self._origin, [self._digest], self._cancelled))

    def inherit(self, other: "Choice") -> None:
        """Go on with what ``other`` foresaw of the same artifact."""
        self._early, other._early = other._early, None

    def look(self, far: Iterable[Step], here: Mapping[str, Path]) -> None:
        """See what could serve as a base, and what is offered, if any of the files to come is large enough.

        Args:
            far: the files that would come over the long link.
            here: where the files of this machine lie.
        """
        large = [step for step in far if step.file.size_bytes >= self._size_min]
        if not large:
            return
        self._large = tuple(step.file for step in large)
        self.files = dict(here)
        for digest in self._cache.digests():
            if digest != self._digest:
                self._learn(digest)
        size_bytes = sum(step.file.size_bytes for step in large)
        if not self._may_find_deltas(size_bytes, holds_others=bool(self._manifests)):
            return
        if not self._bases_here() and self._region is not None:
            self._find_regional_bases(self._region)
        self._looked = True
        self._read_offers()

    def plan(
        self,
        far: Mapping[str, Step],
        missing: Mapping[str, Set[int]],
        here_bytes: Callable[[Offer], int] = lambda _: 0,
    ) -> tuple[FilePlan, ...]:
        """The ways to ``far`` files that lack ``missing`` blocks; waits for a delta that was foretold, if that pays.

        Args:
            here_bytes: what an interrupted attempt left of a delta.
        """
        self._here_bytes = here_bytes
        files = self._plan(far, missing)
        if self._deltas is None or not self._looked or self._waited:
            return files
        wait, good_enough = self._patience(files)
        self._waited = True
        until = time.monotonic() + min(wait, self._deltas.wait_seconds_max)
        pause_seconds = self._deltas.poll_seconds / 4
        while seconds_of(files) > good_enough and (left := until - time.monotonic()) > 0:
            self._sleep(min(left, pause_seconds))
            pause_seconds = min(1.25 * pause_seconds, self._deltas.poll_seconds)
            self._read_offers()
            files = self._plan(far, missing)
        return files

    def reusable(self, file: FileEntry, missing: Set[int]) -> dict[int, tuple[str, int]]:
        """The ``missing`` blocks that lie in files of this machine."""
        return reusable(file, self.blocks, missing) if file.size_bytes >= self._size_min else {}

    def failed(self, offer: Offer | None, base: str, *, lasting: bool) -> None:
        """Plan without this offer from now on; without any offer from ``base``, if that is to blame."""
        if offer is None:
            self._bases_lost.add(base)
            return
        self._failed.add((offer.key, offer.etag))
        if lasting and self._deltas is not None:
            self._deltas.bad.add(self._digest, offer)

    def _may_find_deltas(self, size_bytes: int, *, holds_others: bool) -> bool:
        if self._deltas is None:
            return False
        if self._kin.hints:
            return True
        if size_bytes < LOOK_UNASKED_BYTES_MIN:
            return False
        return holds_others or worth_a_look(size_bytes, self._deltas.gauge.speeds())

    @property
    def _size_min(self) -> int:
        return self._deltas.size_min_bytes if self._deltas else SIZE_MIN_BYTES

    def _plan(self, far: Mapping[str, Step], missing: Mapping[str, Set[int]]) -> tuple[FilePlan, ...]:
        wanted = []
        for digest, step in far.items():
            lacking = bytes_of(step.file, missing[digest])
            local = bytes_of(step.file, self.reusable(step.file, missing[digest]).keys())
            before = set(range(len(step.file.blocks))) - missing[digest]
            alone = before - self.reusable(step.file, before).keys()
            blank = bytes_of(step.file, {n for n in alone if step.file.blocks[n] == _BLANK})
            wanted.append(Wanted(step.file, lacking - local, local, bytes_of(step.file, alone) - blank, blank))
        speeds = (self._deltas.gauge if self._deltas else Gauge()).speeds()
        known_bad = self._failed | (self._deltas.bad.of(self._digest) if self._deltas else frozenset())
        offers = [replace(o, here_bytes=self._here_bytes(o)) for o in self._offers if (o.key, o.etag) not in known_bad]
        held = Holdings(
            {d: s for d, s in self._sizes().items() if d not in self._bases_lost},
            {d: s for d, s in self.regional_bases.items() if d not in self._bases_lost},
        )
        return plan_files(wanted, held, offers, speeds)

    def _sizes(self) -> dict[str, int]:
        return {
            file.digest: file.size_bytes
            for manifest in self._manifests.values()
            for file in manifest.files
            if file.digest in self.files
        }

    def _learn(self, manifest_digest: str) -> None:
        try:
            manifest = self._cache.manifest(manifest_digest)
        except (ArtifactMissing, VerificationFailed):
            return
        self._manifests[manifest_digest] = manifest
        self._name(manifest, manifest_digest)
        for file in manifest.files:
            if file.digest in self.files and file.size_bytes >= self._size_min:
                for number, block in enumerate(file.blocks):
                    self.blocks[block] = (file.digest, number)

    def _name(self, manifest: Manifest, manifest_digest: str) -> None:
        version = next((v for v, d in self._kin.digests.items() if d == manifest_digest), None)
        if version is not None:
            for file in manifest.files:
                self.versions[file.digest] = version

    def _bases_here(self) -> list[int]:
        """Other versions of the model that this machine holds, newest first."""
        held = self._manifests
        return sorted((v for v, d in self._kin.digests.items() if d in held and v != self._kin.version), reverse=True)

    def _find_regional_bases(self, region: RegionalBucket) -> None:
        """Files of the versions that deltas were foretold from, as far as the regional bucket holds them whole."""
        for hint in self._kin.hints:
            digest = self._kin.digests.get(hint.base_version)
            if digest is None:
                continue
            try:
                manifest = find_manifest(region.store, digest, keys.manifest(digest))
            except ModelcastError as error:
                log.warning("a base can't be looked for", store=region.store.name, error=error)
                continue
            if manifest is not None:  # it was put last, so it vouches for the blobs
                self._name(manifest, digest)
                self.regional_bases.update({f.digest: f.size_bytes for f in manifest.files})

    def _read_offers(self) -> None:
        early, self._early = self._early() if self._early else None, None
        asked = [] if early is not None else [self._digest]
        direct = {hint.base_version for hint in self._kin.hints}
        held = self._bases_here()
        if held and held[0] not in direct:  # no delta from there was foretold: perhaps one leads there by way of others
            asked += self._kin.between(held[0])
        self._offers = (early or ()) + read_offers(self._origin, asked, self._cancelled)
        if self._older is None:
            self._older = self._read_older([self._digest, *asked])
        self._offers += self._older

    def _read_older(self, asked: Iterable[str]) -> tuple[Offer, ...]:
        """What earlier versions offer, where that may help a file of which nothing is offered under this one."""
        assert self._deltas is not None
        held = max((v for v in self.versions.values() if v < self._kin.version), default=0)
        older = self._kin.older(held, asked)
        if not older or not worth_a_look(unoffered(self._large, self._offers), self._deltas.gauge.speeds()):
            return ()
        return read_offers(self._origin, older, self._cancelled)

    def _patience(self, files: tuple[FilePlan, ...]) -> tuple[float, float]:
        assert self._deltas is not None
        held = {*self._bases_here()}
        if self.regional_bases:
            held |= set(self.versions.values())
        bad = self._deltas.bad.of(self._digest) | self._failed
        usable = [h for h in self._kin.hints if h.base_version == 0 or h.base_version in held]
        if bad:
            return 0.0, seconds_of(files)
        return patience(files, usable, self._deltas.gauge.speeds())

    def _sleep(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            check(self._cancelled)
            time.sleep(min(left, 0.05))
