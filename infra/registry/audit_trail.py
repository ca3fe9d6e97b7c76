"""The audit in the origin store: an object for each action, written once and never changed or deleted by us."""

import logging
import time
import uuid
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

from modelcast.infra.settings import Settings
from modelcast.infra.stores.configured import origin_store
from modelcast.infra.telemetry.redaction import redacted
from modelcast.schemas import keys
from modelcast.schemas.errors import ContentError, ModelcastError, NotAnnounced, NotFound, StoreUnavailable
from modelcast.schemas.log.audit import AUDIT_SIZE_MAX, AuditEntry, AuditResult
from modelcast.schemas.ports import ObjectStore

READ_THREADS = 16

_logger = logging.getLogger(__name__)


@dataclass(slots=True)
class AuditNote:
    """What is known of an action while it is under way; whoever does it fills it in."""

    result: AuditResult = "done"
    detail: str = ""
    generation: int = 0


class AuditTrail:
    """Writes and reads the audit. Thread-safe. No action fails because the audit can't be written.

    Args:
        store: the origin; None: the settings name none, and nothing is written.
        source: where what is done comes from: a user, host and process, or the address that asked a dashboard.
    """

    def __init__(self, store: ObjectStore | None, *, source: str = "") -> None:
        self._store, self._source = store, source

    @contextmanager
    def of(self, who: str, action: str, subject: str, *, reason: str = "") -> Iterator[AuditNote]:
        """Write what comes of the block when it ends; what it raises is *refused*, or *failed*."""
        note = AuditNote()
        try:
            yield note
        except NotAnnounced as error:  # it stands in the log, and will be announced
            note.detail = error.message
            self.write(self.entry(who, action, subject, note=note, reason=reason))
            raise
        except Exception as error:
            self.failed(who, action, subject, error, reason=reason)
            raise
        self.write(self.entry(who, action, subject, note=note, reason=reason))

    def failed(self, who: str, action: str, subject: str, error: BaseException, *, reason: str = "") -> None:
        """Write that an action came to nothing; not without a registry, or where the store has just not answered."""
        if self._store is None or isinstance(error, StoreUnavailable) or not self._has_registry(self._store):
            return
        result: AuditResult = "refused" if isinstance(error, ContentError) else "failed"
        text = error.message if isinstance(error, ModelcastError) else f"{type(error).__name__}: {error}"
        named = error.subject if isinstance(error, ModelcastError) and error.subject != subject else ""
        detail = f"{named}: {text}" if named else text
        self.write(self.entry(who, action, subject, note=AuditNote(result, redacted(detail)), reason=reason))

    def entry(self, who: str, action: str, subject: str, *, note: AuditNote, reason: str = "") -> AuditEntry:
        """An entry of now."""
        return AuditEntry(
            at_us=time.time_ns() // 1000,
            who=who,
            action=action,
            subject=subject,
            source=self._source,
            result=note.result,
            detail=note.detail,
            reason=reason,
            generation=note.generation,
        )

    def write(self, entry: AuditEntry) -> None:
        """Write one entry. If the store does not take it, the log says so: what was done is done."""
        try:
            if self._store is None:
                raise NotFound("the settings name no origin store")
            self._store.put(keys.audit_entry(entry.at_us, uuid.uuid4().hex[:12]), entry.encode(), if_absent=True)
        except ModelcastError as error:
            what = f"{entry.action} of {entry.subject} by {entry.who} ({entry.result})"
            _logger.warning("not in the audit: %s: %s", what, error)

    def read(self, *, since_us: int, last: int) -> list[AuditEntry]:
        """The newest entries, oldest first; what can't be read is left out, and the log says so.

        Args:
            since_us: none from before this time.
            last: at most so many.

        Raises:
            NotFound: the settings name no origin store.
            StoreUnavailable: it does not answer.
        """
        if self._store is None:
            raise NotFound("the settings name no origin store", hint="set MODELCAST_STORES__ORIGIN__URL=s3://…")
        listed = self._store.list(keys.AUDIT_PREFIX, start_after=keys.audit_before(since_us))
        newest = deque((info.key for info in listed), maxlen=last)
        with ThreadPoolExecutor(READ_THREADS) as pool:
            return [entry for entry in pool.map(self._one, [self._store] * len(newest), newest) if entry is not None]

    def _one(self, store: ObjectStore, key: str) -> AuditEntry | None:
        try:
            found = store.get(key, size_max=AUDIT_SIZE_MAX)
            return AuditEntry.decode(found.body, key=key) if found is not None else None
        except ContentError as error:
            _logger.warning("an entry of the audit can't be read: %s", error)
            return None

    def _has_registry(self, store: ObjectStore) -> bool:
        try:
            return store.head(keys.REGISTRY_ID) is not None
        except ModelcastError:
            return False


def audit_trail(settings: Settings, *, source: str) -> AuditTrail:
    """The audit in the origin store of the settings."""
    try:
        return AuditTrail(origin_store(settings), source=source)
    except NotFound:
        return AuditTrail(None, source=source)
