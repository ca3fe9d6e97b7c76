"""One crossing per region: workers on different machines agree through the region's bucket who brings what."""

import random
import threading
import time
from collections.abc import Callable, Set
from contextlib import suppress

import structlog

from modelcast.consumers.fetch.context import Context
from modelcast.consumers.fetch.planning.single_flight import (
    EXPIRY_SECONDS,
    TABLE_SIZE_MAX,
    LeaseRow,
    Table,
    Watched,
    beaten,
    joined,
)
from modelcast.consumers.fetch.transfer.retry import ATTEMPTS, retried
from modelcast.schemas import keys
from modelcast.schemas.errors import ModelcastError, Refused, StoreUnavailable
from modelcast.schemas.ports import ObjectStore, PreconditionFailed

BEAT_SECONDS = 2.0
LOOK_SECONDS = 0.5
RACES_MAX = 50

log = structlog.get_logger(__name__)


class RegionLeases:
    """The leases of one region, as one process sees them. Thread-safe.

    Args:
        region: the region's own bucket.
        holder: who we are; the same after a restart, and unique. It may bring one artifact once at a time.
        leases_max: how many artifacts may come from the origin at once, the whole region together.
        beat_seconds: how often we say that we live.
        expiry_seconds: how long others may be silent.
    """

    def __init__(
        self,
        region: ObjectStore,
        holder: str,
        leases_max: int,
        *,
        beat_seconds: float = BEAT_SECONDS,
        expiry_seconds: float = EXPIRY_SECONDS,
    ) -> None:
        self._region = region
        self._holder = holder
        self._leases_max = leases_max
        self._beat_seconds = beat_seconds
        self._expiry_seconds = expiry_seconds
        self._lock = threading.Lock()
        self._ours: dict[str, RegionLease] = {}
        self._beating: threading.Thread | None = None
        self._seen = Table()
        self._hold_back_until = 0.0

    def lease(self, manifest_digest: str, context: Context) -> "RegionLease":
        """A lease that is not taken yet."""
        return RegionLease(self, manifest_digest, context)

    def share(self) -> float:
        """Our part of the link now. A newcomer holds back for a beat, so that the others learn of it first."""
        if time.monotonic() < self._hold_back_until:
            return 0.0
        with self._lock:
            return self._seen.share(self._holder, self._ours.keys()) or 1.0

    # --- for leases

    def join(self, lease: "RegionLease") -> bool:
        """Wait until ``lease`` has its row; whether another holder had one of that artifact in the meantime."""
        watched, waited, unknown = Watched(), False, 0
        while True:
            lease.context.check()
            table, etag = retried(self._look, lease.context)
            now = time.monotonic()
            watched = watched.seeing(table, now)
            other = table.of(lease.artifact)
            waited = waited or (other is not None and other.holder != self._holder)
            wanted = joined(table, lease.artifact, self._holder, watched, now, self._leases_max)
            if wanted is not None:
                try:
                    self._write(wanted, etag)
                except (PreconditionFailed, StoreUnavailable) as error:
                    # Another was quicker, or the answer was lost: look again.
                    unknown += isinstance(error, StoreUnavailable)
                    if unknown >= ATTEMPTS:
                        raise
                    lease.context.sleep(random.uniform(0, 0.05))
                    continue
                self._admit(lease, wanted, alone=len(wanted.rows) == 1)
                return waited
            lease.context.sleep(LOOK_SECONDS * random.uniform(0.5, 1.0))

    def leave(self, lease: "RegionLease") -> None:
        """Take the row out of the table."""
        with self._lock:
            if self._ours.get(lease.artifact) is not lease:
                return
            del self._ours[lease.artifact]
        with suppress(ModelcastError):  # then it falls silent
            self._change(lambda table: table.without(LeaseRow(lease.artifact, self._holder)))

    # --- inside

    def _admit(self, lease: "RegionLease", table: Table, *, alone: bool) -> None:
        with self._lock:
            self._ours[lease.artifact] = lease
            self._seen = table
            if not alone:
                self._hold_back_until = time.monotonic() + self._beat_seconds
            lease.heard_at = time.monotonic()
            if self._beating is None:
                self._beating = threading.Thread(target=self._beat, name="leases", daemon=True)
                self._beating.start()

    def _beat(self) -> None:
        while True:
            time.sleep(self._beat_seconds)
            with self._lock:
                ours = dict(self._ours)
                if not ours:
                    self._beating = None
                    return
            began = time.monotonic()
            try:
                gone = self._beat_once(ours.keys())
            except ModelcastError:
                continue  # the leases notice when it lasts
            for artifact, lease in ours.items():
                if artifact in gone:
                    lease.taken_away()
                else:
                    lease.heard_at = began

    def _beat_once(self, artifacts: Set[str]) -> Set[str]:
        """Say that we live; the artifacts that were taken from us."""
        gone: Set[str] = frozenset()

        def beat(table: Table) -> Table:
            nonlocal gone
            changed, gone = beaten(table, self._holder, artifacts)
            return changed

        self._change(beat)
        return gone

    def _change(self, change: Callable[[Table], Table]) -> None:
        """Look, change, put; again while others are quicker.

        Raises:
            ModelcastError: the bucket does not answer, or refuses.
        """
        for _ in range(RACES_MAX):
            table, etag = self._look()
            wanted = change(table)
            try:
                if wanted != table:
                    self._write(wanted, etag)
            except PreconditionFailed:
                time.sleep(random.uniform(0, 0.05))
                continue
            self._seen = wanted
            return
        raise StoreUnavailable("others are always quicker", subject=f"{self._region.name}/{keys.TRANSFERS}")

    def _look(self) -> tuple[Table, str | None]:
        found = self._region.get(keys.TRANSFERS, size_max=TABLE_SIZE_MAX)
        return (Table(), None) if found is None else (Table.decode(found.body), found.info.etag)

    def _write(self, table: Table, etag: str | None) -> None:
        self._region.put(keys.TRANSFERS, table.encode(), if_absent=etag is None, if_match=etag)

    @property
    def silence_seconds_max(self) -> float:
        """Seconds without a beat that arrived after which this holder takes itself as replaced.

        Longer than what others wait: while the bucket answers no one, no one can replace this holder, and the next
        beat that arrives shows who holds the lease.
        """
        return 4 * self._expiry_seconds


class RegionLease:
    """One artifact's lease. Its readers may take it from several threads.

    Attributes:
        artifact: the manifest digest.
        context: whether it is still wanted.
        heard_at: when our last beat that arrived was sent, by our own clock.
    """

    def __init__(self, leases: RegionLeases, artifact: str, context: Context) -> None:
        self.artifact = artifact
        self.context = context
        self.heard_at = 0.0
        self._leases = leases
        self._lock = threading.Lock()
        self._taken = False
        self._away = False

    @property
    def lost(self) -> bool:
        """Another holder has it, or may have."""
        if not self._taken:
            return False
        return self._away or time.monotonic() - self.heard_at > self._leases.silence_seconds_max

    def take(self) -> bool:
        """Wait for the lease; whether another holder had one of this artifact in the meantime."""
        with self._lock:
            if self._taken:
                return False
            try:
                waited = self._leases.join(self)
            except Refused as error:  # by an older policy of the bucket: bytes twice are better than none
                log.warning("the region's workers can't agree who reads from the origin", error=error)
                return False
            self._taken = True
            return waited

    def drop(self) -> None:
        """Let others have it."""
        with self._lock:
            if self._taken:
                self._leases.leave(self)
                self._taken = self._away = False

    def taken_away(self) -> None:
        """Another worker took our row out of the table."""
        self._away = True
