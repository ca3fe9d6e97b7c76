"""Which way each file of one fetch takes: by what is held, what the store offers, and how fast everything goes."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import structlog

from modelcast.consumers.artifacts.sources import ArtifactMissing
from modelcast.consumers.fetch import Context, HeldFiles, Request, Step, find_manifest
from modelcast.deltas.ablation import CHAIN, COMPRESSED_WHOLE, DELTA, DELTAS, WAITING
from modelcast.deltas.fetch.bad_offers import BadOffers
from modelcast.deltas.fetch.codec_speeds import CodecSpeeds
from modelcast.deltas.fetch.offers import read_offers
from modelcast.deltas.fetch.planning.costs import Speeds
from modelcast.deltas.fetch.planning.explain import Explained, explain
from modelcast.deltas.fetch.planning.paths import FilePlan, Holdings, Offer, plan_files
from modelcast.deltas.fetch.planning.patience import between, older, patience, transfer_seconds, unoffered, worth_a_look
from modelcast.schemas import keys
from modelcast.schemas.errors import ModelcastError, VerificationFailed
from modelcast.schemas.manifest import FileEntry, Manifest
from modelcast.schemas.ports import ObjectStore

SIZE_MIN_BYTES = 256 * 1024
LOOK_UNASKED_BYTES_MIN = 1024 * 1024
"""Without a hint less than this is not worth a listing."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Options:
    """How a process uses deltas.

    Attributes:
        size_min_bytes: smaller files travel whole.
        threads: of the codec; None: all cores.
        at_once: deltas that arrive while another is applied.
        wait_seconds_max: for a delta that was announced; 0: never.
        poll_seconds: how often it is looked for; more often at first, as most deltas are soon there.
    """

    size_min_bytes: int = SIZE_MIN_BYTES
    threads: int | None = None
    at_once: int = 2
    wait_seconds_max: float = 30.0
    poll_seconds: float = 1.0


@dataclass(frozen=True, slots=True)
class Experience:
    """What all fetches of a process have learned.

    Attributes:
        codec: how fast files were rebuilt.
        bad: what failed.
    """

    codec: CodecSpeeds = field(default_factory=CodecSpeeds)
    bad: BadOffers = field(default_factory=BadOffers)


Prefetched = Callable[[], tuple[Offer, ...] | None]
"""Waits for the offers that were asked for in advance; None: they did not come."""


def may_find_deltas(request: Request, size_bytes: int, speeds: Speeds, *, holds_others: bool) -> bool:
    """Whether it is worth asking the store what it offers.

    Args:
        size_bytes: what would come over the long link.
        holds_others: this machine holds other artifacts.
    """
    if request.candidates.hints:
        return True
    if size_bytes < LOOK_UNASKED_BYTES_MIN:
        return False
    return holds_others or worth_a_look(size_bytes, speeds)


class PathChooser:
    """One fetch's ways. Not thread-safe.

    Args:
        options: how deltas are used.
        experience: of this process.
        request: what is fetched.
        prefetched: what was looked for in advance.

    Attributes:
        versions: which version a file that may be a base belongs to.
        regional_bases: sizes in bytes of files that only the region's bucket holds, by digest.
        offers: what the store offers.
    """

    def __init__(
        self, options: Options, experience: Experience, request: Request, prefetched: Prefetched | None = None
    ) -> None:
        self._options = options
        self._experience = experience
        self._request = request
        self._prefetched = prefetched
        self._older: tuple[Offer, ...] | None = None  # under earlier versions; None: not asked yet
        self._large: tuple[FileEntry, ...] = ()
        self._failed: set[tuple[str, str]] = set()  # in this fetch
        self._bases_lost: set[str] = set()
        self._waited = False
        self._looked = False
        self._manifests: dict[str, Manifest] = {}  # held on this machine
        self._files: Iterable[str] = ()
        self.offers: tuple[Offer, ...] = ()
        self.regional_bases: dict[str, int] = {}
        self.versions: dict[str, int] = {}

    def look(self, steps: Sequence[Step], held: HeldFiles, context: Context) -> None:
        """See what could serve as a base, and what is offered, if any of the files to come is large enough."""
        large = [step for step in steps if step.file.size_bytes >= self._options.size_min_bytes]
        if not large:
            return
        self._large = tuple(step.file for step in large)
        self._files = held.files.keys()
        for digest in self._request.cache.digests():
            if digest != self._request.manifest_digest:
                self._learn(digest)
        size_bytes = sum(step.file.size_bytes for step in large)
        if not may_find_deltas(self._request, size_bytes, self.speeds(), holds_others=bool(self._manifests)):
            return
        if not self._bases_here() and self._request.region is not None:
            self._find_regional_bases(self._request.region)
        self._looked = True
        self._read_offers(context)

    def plan(self, steps: Sequence[Step], context: Context, here_bytes: Callable[[Offer], int]) -> tuple[FilePlan, ...]:
        """The ways to ``steps``, which the road would bring; waits for a delta that was announced, if that pays.

        Args:
            here_bytes: what an interrupted attempt left of a delta.
        """
        files = self._plan(steps, here_bytes)
        if not self._looked or self._waited:
            return files
        wait, good_enough = self._patience(files) if not DELTAS.without(WAITING) else (0.0, 0.0)
        self._waited = True
        clock, options = context.clock, self._options
        until = clock.monotonic() + min(wait, options.wait_seconds_max)
        pause_seconds = options.poll_seconds / 4
        while transfer_seconds(files) > good_enough and (left := until - clock.monotonic()) > 0:
            context.sleep(min(left, pause_seconds))
            pause_seconds = min(1.25 * pause_seconds, options.poll_seconds)
            self._read_offers(context)
            files = self._plan(steps, here_bytes)
        return files

    def explained(
        self, steps: Sequence[Step], held: Holdings, names: Mapping[str, int]
    ) -> tuple[tuple[FilePlan, ...], tuple[Explained, ...]]:
        """What ``plan`` would choose now, with its reasons, for all files of an artifact.

        Args:
            held: what needs no way.
            names: versions of further files, for people.
        """
        mine = self._holdings()
        held = Holdings({**mine.cached, **held.cached}, {**mine.regional, **held.regional})
        return explain(steps, held, self._usable(_nothing_here), self.speeds(), {**names, **self.versions})

    def failed(self, offer: Offer | None, base: str, *, lasting: bool) -> None:
        """Plan without this offer from now on; without any offer from ``base``, if that is to blame."""
        if offer is None:
            self._bases_lost.add(base)
            return
        self._failed.add((offer.key, offer.etag))
        if lasting:
            self._experience.bad.add(self._request.manifest_digest, offer)

    def speeds(self) -> Speeds:
        """What ways are compared by."""
        return self._experience.codec.beside(self._request.throughput.speeds())

    def _plan(self, steps: Sequence[Step], here_bytes: Callable[[Offer], int]) -> tuple[FilePlan, ...]:
        return plan_files(steps, self._holdings(), self._usable(here_bytes), self.speeds())

    def _usable(self, here_bytes: Callable[[Offer], int]) -> list[Offer]:
        bad = self._failed | self._experience.bad.of(self._request.manifest_digest)
        usable = [replace(o, here_bytes=here_bytes(o)) for o in self.offers if (o.key, o.etag) not in bad]
        if DELTAS.without(COMPRESSED_WHOLE):
            usable = [o for o in usable if o.old is not None]
        if DELTAS.without(DELTA):
            usable = [o for o in usable if o.old is None]
        if DELTAS.without(CHAIN):
            held = self._holdings()
            usable = [o for o in usable if o.old is None or o.old in held.cached or o.old in held.regional]
        return usable

    def _holdings(self) -> Holdings:
        return Holdings(
            {d: s for d, s in self._sizes().items() if d not in self._bases_lost},
            {d: s for d, s in self.regional_bases.items() if d not in self._bases_lost},
        )

    def _sizes(self) -> dict[str, int]:
        return {
            file.digest: file.size_bytes
            for manifest in self._manifests.values()
            for file in manifest.files
            if file.digest in self._files
        }

    def _learn(self, manifest_digest: str) -> None:
        try:
            manifest = self._request.cache.manifest(manifest_digest)
        except (ArtifactMissing, VerificationFailed):
            return
        self._manifests[manifest_digest] = manifest
        self._name(manifest, manifest_digest)

    def _name(self, manifest: Manifest, manifest_digest: str) -> None:
        version = next((v for v, d in self._request.candidates.digests.items() if d == manifest_digest), None)
        if version is not None:
            for file in manifest.files:
                self.versions[file.digest] = version

    def _bases_here(self) -> list[int]:
        """Other versions of the model that this machine holds, newest first."""
        candidates = self._request.candidates
        held = [v for v, d in candidates.digests.items() if d in self._manifests and v != candidates.version]
        return sorted(held, reverse=True)

    def _find_regional_bases(self, region: ObjectStore) -> None:
        """Files of the versions that deltas were announced from, as far as the regional bucket holds them whole."""
        for hint in self._request.candidates.hints:
            digest = self._request.candidates.digests.get(hint.base_version)
            if digest is None:
                continue
            try:
                manifest = find_manifest(region, digest, keys.manifest(digest))
            except ModelcastError as error:
                log.warning("a base can't be looked for", store=region.name, error=error)
                continue
            if manifest is not None:  # it was put last, so it vouches for the blobs
                self._name(manifest, digest)
                self.regional_bases.update({f.digest: f.size_bytes for f in manifest.files})

    def _read_offers(self, context: Context) -> None:
        early, self._prefetched = self._prefetched() if self._prefetched else None, None
        direct = {hint.base_version for hint in self._request.candidates.hints}
        if early is not None and len(early) < len(direct) and not self._makes_all(early):
            early = None  # what was announced came to the store after the look
        asked = [] if early is not None else [self._request.manifest_digest]
        held = self._bases_here()
        if held and held[0] not in direct:  # no delta from there is announced: perhaps a chain leads there
            asked += between(self._request.candidates, held[0])
        self.offers = (early or ()) + read_offers(self._request.origin, asked, context)
        if self._older is None:
            self._older = self._read_older([self._request.manifest_digest, *asked], context)
        self.offers += self._older

    def _makes_all(self, offers: Iterable[Offer]) -> bool:
        """Whether the offers make every large file from what this region holds: a look again would find no better."""
        held = self._sizes().keys() | self.regional_bases.keys()
        return {file.digest for file in self._large} <= {offer.new for offer in offers if offer.old in held}

    def _read_older(self, asked: Iterable[str], context: Context) -> tuple[Offer, ...]:
        """What earlier versions offer, where that may help a file of which nothing is offered under this one."""
        held = max((v for v in self.versions.values() if v < self._request.candidates.version), default=0)
        earlier = older(self._request.candidates, held, asked)
        if not earlier or not worth_a_look(unoffered(self._large, self.offers), self.speeds()):
            return ()
        return read_offers(self._request.origin, earlier, context)

    def _patience(self, files: tuple[FilePlan, ...]) -> tuple[float, float]:
        held = {*self._bases_here()}
        if self.regional_bases:
            held |= set(self.versions.values())
        bad = self._experience.bad.of(self._request.manifest_digest) | self._failed
        usable = [h for h in self._request.candidates.hints if h.base_version == 0 or h.base_version in held]
        if DELTAS.without(COMPRESSED_WHOLE):
            usable = [h for h in usable if h.base_version]
        if DELTAS.without(DELTA):
            usable = [h for h in usable if not h.base_version]
        if bad:
            return 0.0, transfer_seconds(files)
        return patience(files, usable, self.speeds())


def _nothing_here(_: Offer) -> int:
    return 0
