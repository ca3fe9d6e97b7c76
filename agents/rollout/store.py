"""What a controller does in the origin store: the table, the log, evidence and progress. Blocking."""

import threading
import uuid

import structlog

from modelcast.agents.rollout.decider.entries import command_of
from modelcast.agents.rollout.decider.facts import (
    ClaimEnded,
    ClaimEntry,
    Event,
    Moment,
    PutTable,
    SaveProgress,
    TablePut,
    TableRefused,
    TookOver,
)
from modelcast.agents.rollout.decider.progress import RolloutProgress, decode_progress
from modelcast.infra.registry.claim import Claimed, claim
from modelcast.infra.registry.reader import RegistryReader
from modelcast.infra.telemetry.metrics import COMMANDS, ROLLOUT_ENDED_TIMESTAMP
from modelcast.schemas import keys
from modelcast.schemas.digests import sha256_of
from modelcast.schemas.errors import ContentError, ModelcastError, Refused
from modelcast.schemas.evidence.replay import SIZE_MAX_BYTES
from modelcast.schemas.log.fold import ModelLog
from modelcast.schemas.ports import PreconditionFailed
from modelcast.schemas.records import CommandKind, ModelCommand
from modelcast.schemas.traffic.table import TABLE_SIZE_MAX, decode_table, encode_table

ENDINGS = {CommandKind.ROLLOUT_ABORT: "abort", CommandKind.ROLLOUT_HOLD: "hold"}

log = structlog.get_logger(__name__)


class RolloutStore:
    """One model's objects. Remembers the tag of the table that it read or put last: with another one it is no owner.

    Args:
        reader: the registry.
        model: the model.
        worker: who claims entries here, for people.
    """

    def __init__(self, reader: RegistryReader, model: str, worker: str) -> None:
        self._reader, self._store, self._model = reader, reader.store, model
        self._asker = f"rollout controller {worker}"
        self._etag: str | None = None
        self._lock = threading.Lock()

    def take_over(self, rollout: str) -> Event:
        """Read the table in force and what was seen of a rollout."""
        with self._lock:
            found = self._store.get(keys.traffic_table(self._model), size_max=TABLE_SIZE_MAX)
            table = None
            if found is not None:
                table = decode_table(found.body)
                if table.registry_id != self._reader.registry_id():
                    raise Refused("the table in force is of another registry", subject=keys.traffic_table(self._model))
            self._etag = found.info.etag if found is not None else None
            return TookOver(table, self._progress(rollout))

    def _progress(self, rollout: str) -> RolloutProgress | None:
        found = self._store.get(keys.rollout_progress(self._model, rollout), size_max=SIZE_MAX_BYTES)
        if found is None:
            return None
        try:
            return decode_progress(found.body)
        except ModelcastError as error:
            log.warning("the progress of a rollout can't be read: its evidence begins anew", error=str(error))
            return None

    def put_table(self, effect: PutTable) -> Event:
        """Put a table in place of the one that was read or put last."""
        key, body = keys.traffic_table(self._model), encode_table(effect.table)
        with self._lock:
            try:
                if self._etag is None:
                    info = self._store.put(key, body, if_absent=True)
                else:
                    info = self._store.put(key, body, if_match=self._etag)
            except PreconditionFailed:
                return TableRefused()
            self._etag = info.etag
            return TablePut(effect.table)

    def claim_entry(self, effect: ClaimEntry, known: ModelLog, now: Moment) -> tuple[Event, bytes]:
        """Write an entry, after what it was decided on; its bytes, to be announced, or b"" if none was written."""
        if not effect.lowers_only and not self._owns():
            return TableRefused(), b""
        digest = sha256_of(effect.evidence)
        self._store.put(keys.rollout_evidence(self._model, effect.rollout, digest), effect.evidence)
        self._store.put(keys.rollout_verdict(self._model, effect.rollout, digest), effect.verdict)
        event_id = uuid.uuid4().hex

        def build(above: ModelLog) -> ModelCommand | None:
            return command_of(effect, above, event_id=event_id, now_us=now.wall_us, requested_by=self._asker)

        try:
            claimed = claim(self._reader, known, event_id, build)
        except ContentError as error:
            if error.retryable:
                raise
            log.warning("an entry about a rollout was refused", model=self._model, error=str(error))
            return ClaimEnded(self._reader.tail(self._model, known).log), b""
        if not isinstance(claimed, Claimed):
            return ClaimEnded(claimed.log), b""
        COMMANDS.labels(self._model, effect.kind.lower()).inc()
        if effect.kind in ENDINGS:
            ROLLOUT_ENDED_TIMESTAMP.labels(self._model, ENDINGS[effect.kind]).set(now.wall_us / 1_000_000)
        log.info("a rollout goes on", model=self._model, entry=str(effect.kind), reason=effect.reason)
        return ClaimEnded(claimed.log), claimed.encoded

    def _owns(self) -> bool:
        """Whether the table is still the one that this controller knows."""
        info = self._store.head(keys.traffic_table(self._model))
        with self._lock:
            return (info.etag if info is not None else None) == self._etag

    def save_progress(self, effect: SaveProgress) -> None:
        """Save what was seen, for whoever takes over."""
        self._store.put(keys.rollout_progress(self._model, effect.rollout), effect.body)
