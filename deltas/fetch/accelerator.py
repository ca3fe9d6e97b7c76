"""Deltas as the road's accelerator."""

import threading
import time
from collections.abc import Callable, Sequence
from functools import partial

import structlog

from modelcast.consumers.fetch import Accelerator, Context, Destination, HeldFiles, Request, Step, started
from modelcast.deltas.fetch.chooser import Experience, Options, PathChooser, Prefetched, may_find_deltas
from modelcast.deltas.fetch.offers import read_offers
from modelcast.deltas.fetch.planning.labels import labelled
from modelcast.deltas.fetch.planning.paths import FilePlan, Offer
from modelcast.deltas.fetch.rebuild import Rebuilder, WayFailed, here_bytes_of
from modelcast.schemas.ports import ObjectStore

PREFETCHED_MAX = 8
PREFETCHED_SECONDS = 10.0
FRESH_SECONDS = 0.5
"""Seconds after which a listing that found no delta is repeated: deltas may follow an announcement."""

log = structlog.get_logger(__name__)


def plug(*, size_min_bytes: int) -> Accelerator:
    """What the entry point ``fetch`` names.

    Args:
        size_min_bytes: smaller files travel whole.
    """
    return DeltaFetchAccelerator(Options(size_min_bytes=size_min_bytes))


class OfferLookup:
    """Asks the origin what it offers for one artifact.

    Attributes:
        answered_at_seconds: by the clock; None: not yet.
    """

    def __init__(self, origin: ObjectStore, manifest_digest: str, clock: Callable[[], float]) -> None:
        self._origin, self._digest, self._clock = origin, manifest_digest, clock
        self.answered_at_seconds: float | None = None

    def __call__(self) -> tuple[Offer, ...]:
        """The offers. Raises like the store."""
        offers = read_offers(self._origin, [self._digest], Context())
        self.answered_at_seconds = self._clock()
        return offers


class DeltaFetchAccelerator:
    """An ``Accelerator``: deltas, chains of them and compressed wholes instead of whole files.

    Args:
        options: how deltas are used; None: by default.
        experience: what is known already; None: nothing.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        options: Options | None = None,
        experience: Experience | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._options = options or Options()
        self._experience = experience or Experience()
        self._lock = threading.Lock()
        self._prefetched: dict[str, tuple[float, OfferLookup, Prefetched]] = {}  # by manifest digest

    def prefetch(self, request: Request, size_bytes: int) -> None:
        """Look for deltas of an artifact whose manifest is being read."""
        if size_bytes < self._options.size_min_bytes:
            return
        speeds = self._experience.codec.beside(request.throughput.speeds())
        if not may_find_deltas(request, size_bytes, speeds, holds_others=bool(request.cache.digests())):
            return
        digest, now = request.manifest_digest, self._clock()
        with self._lock:
            self._prefetched = {d: p for d, p in self._prefetched.items() if now - p[0] < PREFETCHED_SECONDS}
            if digest in self._prefetched or len(self._prefetched) >= PREFETCHED_MAX:
                return
            look = OfferLookup(request.origin, digest, self._clock)
            self._prefetched[digest] = (now, look, started(look))

    def session(self, request: Request) -> "DeltaSession":
        """For one fetch."""
        return DeltaSession(self._options, self._experience, request, self)

    def take(self, manifest_digest: str) -> Prefetched | None:
        """What was asked for in advance, once."""
        with self._lock:
            found = self._prefetched.pop(manifest_digest, None)
        if found is None:
            return None
        _, look, prefetched = found
        answered = look.answered_at_seconds
        return prefetched if answered is None or self._clock() - answered < FRESH_SECONDS else None


class DeltaSession:
    """One fetch's.

    Args:
        options: how deltas are used.
        experience: what is known of codec and offers.
        request: what is fetched.
        accelerator: has what was asked for in advance.
    """

    def __init__(
        self, options: Options, experience: Experience, request: Request, accelerator: DeltaFetchAccelerator
    ) -> None:
        self.at_once = options.at_once
        self._options = options
        self._experience = experience
        self._request = request
        self._accelerator = accelerator
        self._chooser: PathChooser | None = None
        self._rebuilder: Rebuilder | None = None
        self._chosen: dict[str, FilePlan] = {}

    def improve(self, steps: Sequence[Step], held: HeldFiles, context: Context) -> Sequence[Step]:
        """Each step by its cheapest way; waits for a delta that was announced, if that pays."""
        if self._chooser is None:
            prefetched = self._accelerator.take(self._request.manifest_digest)
            self._chooser = PathChooser(self._options, self._experience, self._request, prefetched)
            self._chooser.look(steps, held, context)
            self._rebuilder = Rebuilder(
                held.files, self._chooser.regional_bases, self._experience.codec, self._options.threads
            )
        files = self._chooser.plan(steps, context, partial(here_bytes_of, held.aside))
        self._chosen = {file.file.digest: file for file in files}
        versions = self._chooser.versions
        return [labelled(step, file.chosen, versions) for step, file in zip(steps, files, strict=True)]

    def bring(self, step: Step, destination: Destination, context: Context) -> bool:
        """Rebuild the file by the way that was chosen; False: it failed, and is not chosen again."""
        assert self._chooser is not None
        assert self._rebuilder is not None
        chosen = self._chosen[step.file.digest].chosen
        with context.meter.timed("rebuild"):
            try:
                self._rebuilder.make(step, chosen, destination, context)
            except WayFailed as failure:
                self._chooser.failed(failure.offer, chosen.base, lasting=failure.lasting)
                log.warning(
                    "a delta is of no use: another way is taken",
                    path=step.file.path,
                    way=str(chosen.way),
                    delta=failure.offer.key if failure.offer else None,
                    error=failure.cause,
                )
                return False
        return True
