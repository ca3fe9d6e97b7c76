"""One publication, step by step: upload, claim, announce."""

import logging
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from modelcast.infra.registry.audit_trail import AuditNote, AuditTrail
from modelcast.infra.registry.claim import Claimed, claim, put_schema
from modelcast.infra.telemetry.metrics import PUBLICATIONS, UPLOADED_BYTES
from modelcast.producers.accelerator import Acceleration
from modelcast.producers.artifact import Artifact
from modelcast.producers.log_refusal import refused
from modelcast.producers.origin import Origin
from modelcast.producers.planning.publication import Announce, Claim, Conflict, entry_of, plan_publication
from modelcast.producers.planning.request import PublishRequest
from modelcast.producers.planning.standing import standing_notes, unserved_notes
from modelcast.producers.publication import Publication, Unannounced
from modelcast.producers.publish.intent import Intent, note_intent
from modelcast.producers.publish.upload import Uploader
from modelcast.producers.step_timer import StepTimer
from modelcast.schemas.errors import ContentError, ForeignRegistry, KafkaUnavailable, ModelcastError, StoreUnavailable
from modelcast.schemas.log.audit import AuditEntry
from modelcast.schemas.log.fold import ModelLog
from modelcast.schemas.records import DeltaHint, ModelUpdate

SMALL_SIZE_BYTES = 1024 * 1024
"""Artifacts up to this size are uploaded while the log is still being read: one round trip less."""
SMALL_FILES = 16

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Prepared:
    """What is known before anything is decided; ``uploaded``: the bytes are up already."""

    intent: Intent
    log: ModelLog
    uploaded: bool


@dataclass(frozen=True, slots=True)
class _Committed:
    """The entry, as it stands in the log that ends with it or goes on; ``created``: this publication's own."""

    entry: ModelUpdate
    log: ModelLog
    received_at_us: int
    encoded: bytes
    created: bool


class Publishing:
    """Publishes one artifact.

    Args:
        origin: the registry.
        request: what was asked for, with its bytes known.
        artifact: those bytes.
        acceleration: what is done beside.
        timer: of the steps.
        audit: where it is written down that it stands in the log.
        verify: read back what the store has of it already.
    """

    def __init__(
        self,
        origin: Origin,
        request: PublishRequest,
        artifact: Artifact,
        acceleration: Acceleration,
        timer: StepTimer,
        audit: AuditTrail,
        *,
        verify: bool,
    ) -> None:
        self._audit = audit
        self._origin, self._request, self._artifact = origin, request, artifact
        self._acceleration, self._timer, self._verify = acceleration, timer, verify
        self._uploader = Uploader(origin.store, artifact, timer.progress)

    def run(self) -> Publication:
        """Everything; see ``Publisher.publish`` for what it raises."""
        try:
            return self._run()
        except BaseException:
            self._uploader.stop()
            raise

    def _run(self) -> Publication:
        self._timer.begin("upload", self._artifact.manifest.size_bytes)
        prepared = self._prepare()
        try:
            committed = self._commit(prepared)
        except ContentError:
            if not prepared.intent.begun_before:  # refused before anything was claimed under it
                with suppress(ModelcastError):
                    self._origin.store.delete(prepared.intent.key)
            raise
        self._origin.remember(committed.log)
        UPLOADED_BYTES.labels(self._request.model).inc(self._uploader.uploaded_bytes)
        publication = self._publication(committed)
        try:
            publication = self._announce(publication, committed.encoded, prepared.intent)
        except Unannounced:
            self._acceleration.after(publication, self._timer)
            raise
        added = self._acceleration.after(publication, self._timer)
        return replace(
            publication,
            additions=added.made,
            notes=publication.notes + added.notes,
            step_seconds=dict(self._timer.seconds),
        )

    def _prepare(self) -> _Prepared:
        """Everything that does not depend on each other, at once.

        A log that is known from before is taken as it is: if it is out of date, claiming its next generation
        fails and brings it up to date. Only that the store still holds its last entry is made sure of.
        """
        origin, request = self._origin, self._request
        known = origin.known_log(request.model)
        if not origin.registry_known:
            origin.open_registry(create=True)
        calls: list[Callable[[], Any]] = [
            lambda: note_intent(origin.store, request.intent_key),
            lambda: origin.check_standing(known) if known else origin.model_log(request.model),
        ]
        if not origin.conditional_puts_checked:
            calls += [origin.check_conditional_puts, lambda: put_schema(origin.store, ModelUpdate)]
        small = request.artifact.size_bytes <= SMALL_SIZE_BYTES and request.artifact.file_count <= SMALL_FILES
        intent, log, *_ = origin.together(calls + (self._uploader.calls() if small else []))
        return _Prepared(intent, log, small)

    def _commit(self, prepared: _Prepared) -> _Committed:
        """Have the bytes in the store and the entry in the log."""
        event_id = prepared.intent.event_id
        log, plan = self._plan(prepared.log, event_id)
        calls: list[Callable[[], Any]] = [] if prepared.uploaded else self._uploader.calls()
        # First, so that no large file goes before it.
        calls.insert(0, partial(self._acceleration.beside, log, plan.version))
        self._origin.together(calls)
        if self._verify or isinstance(plan, Announce):
            self._origin.together(self._uploader.checks(read_back=self._verify))
        if isinstance(plan, Announce):
            return self._committed(log, plan)
        hints = self._acceleration.before(self._timer)
        self._timer.begin("claim")
        claimed = claim(self._origin.reader, log, event_id, partial(self._entry, event_id, hints))
        if isinstance(claimed, Claimed):
            in_log = plan_publication(claimed.log, self._request, event_id)
            if isinstance(in_log, Conflict):  # what stands under our event is not what we asked for
                raise refused(self._origin.reader, self._request.model, in_log)
            assert isinstance(claimed.entry, ModelUpdate)
            return _Committed(claimed.entry, claimed.log, claimed.last_modified_us, claimed.encoded, created=True)
        overtaken = plan_publication(claimed.log, self._request, event_id)
        if isinstance(overtaken, Conflict):
            raise refused(self._origin.reader, self._request.model, overtaken)
        assert isinstance(overtaken, Announce)
        return self._committed(claimed.log, overtaken)

    def _plan(self, log: ModelLog, event_id: str) -> tuple[ModelLog, Claim | Announce]:
        """Plan, and before anything else than a claim comes of it, on the log as it is now."""
        plan = plan_publication(log, self._request, event_id)
        if not isinstance(plan, Claim):
            log = self._origin.model_log(self._request.model)
            plan = plan_publication(log, self._request, event_id)
        if isinstance(plan, Conflict):
            raise refused(self._origin.reader, self._request.model, plan)
        return log, plan

    def _entry(self, event_id: str, hints: tuple[DeltaHint, ...], log: ModelLog) -> ModelUpdate | None:
        """The entry that follows ``log``; None: the bytes stand in it already."""
        plan = plan_publication(log, self._request, event_id)
        if isinstance(plan, Conflict):
            raise refused(self._origin.reader, self._request.model, plan)
        if isinstance(plan, Announce):
            return None
        return entry_of(
            self._request,
            plan,
            registry_id=log.registry_id,
            event_id=event_id,
            now_us=time.time_ns() // 1000,
            delta_hints=hints,
        )

    def _committed(self, log: ModelLog, plan: Announce) -> _Committed:
        timed = self._origin.reader.entry(self._request.model, plan.generation)
        if timed is None or not log.stands(timed.stated):
            raise ForeignRegistry(
                "a log entry that was read before is gone, or another has its place",
                subject=f"{self._request.model} generation {plan.generation}",
                hint="the store was restored or rewritten; see `modelcast doctor --only logs`",
            )
        assert isinstance(timed.entry, ModelUpdate)
        return _Committed(timed.entry, log, timed.last_modified_us, timed.body, created=plan.completes)

    def _publication(self, committed: _Committed) -> Publication:
        entry, notes = committed.entry, self._artifact.notes
        if committed.created:
            notes += unserved_notes(committed.log, entry)
        else:
            notes += standing_notes(committed.log, entry, self._request)
        return Publication(
            model=entry.model,
            version=entry.version,
            generation=entry.generation,
            event_id=entry.event_id,
            manifest_digest=entry.artifact.manifest_digest,
            created=committed.created,
            announced=False,
            registry_id=entry.registry_id,
            activation=entry.activation,
            size_bytes=entry.artifact.size_bytes,
            file_count=entry.artifact.file_count,
            framework=entry.artifact.framework,
            uploaded_bytes=self._uploader.uploaded_bytes,
            received_at_us=committed.received_at_us,
            step_seconds=dict(self._timer.seconds),
            notes=notes + self._uploader.notes,
            log_head=committed.log.head,
        )

    def _audited(self, publication: Publication) -> AuditEntry:
        note = AuditNote("done" if publication.created else "needless", generation=publication.generation)
        return self._audit.entry(self._request.publisher, "publish", str(publication), note=note)

    def _announce(self, publication: Publication, encoded: bytes, intent: Intent) -> Publication:
        self._timer.begin("announce")
        written = self._origin.pool.submit(self._audit.write, self._audited(publication))  # it takes a round trip, too
        try:
            self._origin.announce(publication.model, encoded)
        except KafkaUnavailable as error:
            self._timer.end()
            written.result()
            unannounced = Unannounced(
                f"claimed as generation {publication.generation}, but not announced: {error.message}",
                subject=str(publication),
                hint=f"{error.hint}; nothing is lost: the tracker announces it, or publish again",
            )
            unannounced.publication = publication
            raise unannounced from error
        self._timer.begin("close")
        with suppress(StoreUnavailable):  # left behind, it only makes the next publication of these bytes a rerun
            self._origin.store.delete(intent.key)
        written.result()
        self._timer.end()
        PUBLICATIONS.labels(publication.model, "created" if publication.created else "existed").inc()
        _logger.info(
            "published" if publication.created else "already published",
            extra={"model": publication.model, "version": publication.version, "generation": publication.generation},
        )
        return replace(publication, announced=True)
