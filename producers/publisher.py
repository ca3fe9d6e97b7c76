"""Publishing: what a training job calls."""

import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelcast.infra.claim import claim, put_schema
from modelcast.infra.metrics import PUBLICATIONS, UPLOADED_BYTES
from modelcast.infra.settings import ORIGIN, Settings
from modelcast.producers.artifact import Artifact, scan
from modelcast.producers.intent import Intent, note_intent
from modelcast.producers.origin import Origin
from modelcast.producers.publication import (
    Course,
    Decision,
    Publication,
    PublishProgress,
    Request,
    Unannounced,
    decide,
)
from modelcast.producers.rehearsal import rehearse
from modelcast.producers.speaker import Speaker
from modelcast.producers.steps import Steps
from modelcast.producers.upload import Uploader
from modelcast.producers.verdict import Level, Verdict
from modelcast.schemas import keys
from modelcast.schemas.errors import (
    ContentError,
    KafkaUnavailable,
    ModelcastError,
    Refused,
    StoreUnavailable,
    UsageError,
)
from modelcast.schemas.log import ModelLog
from modelcast.schemas.names import check_model
from modelcast.schemas.ports import Announcer, ObjectStore
from modelcast.schemas.records import Activation, ArtifactRef, ModelUpdate

if TYPE_CHECKING:
    from modelcast.producers.deltas.offers import DeltaOffer
    from modelcast.producers.deltas.run import DeltaRun
    from modelcast.producers.deltas.shop import DeltaShop

_logger = logging.getLogger(__name__)

SMALL_SIZE_BYTES = 1024 * 1024
"""Artifacts up to this size are uploaded while the log is still being read: one round trip less."""
SMALL_FILES = 16


class _Standing(Exception):
    """The bytes turned out to be in the log already."""

    def __init__(self, log: ModelLog, decision: Decision) -> None:
        super().__init__()
        self.log, self.decision = log, decision


class Publisher(Speaker):
    """Publishes versions of models. Thread-safe; connects when it is first used.

    Args:
        settings: where everything is; None: from ``modelcast.toml`` and the environment.
        store: instead of the origin store of the settings.
        announcer: instead of Kafka as the settings have it.

    Example:
        >>> with Publisher.from_env() as publisher:  # doctest: +SKIP
        ...     publisher.publish("fraud", "./model", metrics={"auc": 0.93}).wait("all")
    """

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        store: ObjectStore | None = None,
        announcer: Announcer | None = None,
    ) -> None:
        super().__init__(settings, store=store, announcer=announcer)
        self._shop: DeltaShop | None = None

    def after_fork(self) -> None:
        """See ``Inherited``."""
        super().after_fork()
        self._shop = None

    def publish(
        self,
        model: str,
        path: str | os.PathLike[str],
        *,
        version: int | None = None,
        placement: Sequence[str] = (),
        activation: Activation | str = Activation.IMMEDIATE,
        metrics: Mapping[str, float] | None = None,
        labels: Mapping[str, str] | None = None,
        publisher: str = "",
        allow_pickle: bool = False,
        progress: PublishProgress | None = None,
        dry_run: bool = False,
        deltas: bool | None = None,
        verify: bool = False,
    ) -> Publication:
        """Put a version into the registry's log, and say so on Kafka.

        Interrupted anywhere and called again with the same bytes, it completes what was begun. It returns once the
        deltas are in the store, too; regions were told before that unless waiting serves the slowest of them.

        Args:
            model: its name.
            path: a file, or a folder with everything that belongs to the version.
            version: None takes the next one.
            placement: regions that may have it; none: all.
            activation: ``IMMEDIATE``, or ``STAGED``: fetch now, serve when a command says so.
            metrics: what training measured.
            labels: whatever helps to find it again.
            publisher: who publishes; without it ``publish.publisher`` of the settings, else user@host.
            allow_pickle: pickles are refused unless this is set.
            progress: told how it goes.
            dry_run: check everything and write nothing.
            deltas: whether to make them; None: as ``publish.deltas`` says.
            verify: read back what the store has of these bytes already, and put right what is damaged there.

        Returns:
            The publication; ``created`` is False if these bytes were the latest version already.

        Raises:
            UsageError: a name or value makes no sense.
            Refused: the rules say no (see the message).
            ForeignRegistry: the store is not the one that was expected.
            StoreUnavailable: the store can't be reached; nothing, or nothing certain, was claimed: publish again.
            Unannounced: it is claimed, but Kafka did not confirm; the tracker will announce it.
        """
        asked = Request(
            model=model,
            version=version,
            placement=tuple(placement),
            activation=_activation(activation),
            metrics=dict(metrics or {}),
            labels=dict(labels or {}),
            publisher=self._who(publisher),
        )
        steps = Steps(progress)
        steps.begin("scan")
        origin = self._connected()
        origin.warm_up()
        artifact = scan(Path(path), allow_pickle=allow_pickle or self._settings.publish.allow_pickle, progress=progress)
        request = asked.of(
            ArtifactRef(
                store=ORIGIN,
                manifest_key=keys.manifest(artifact.digest),
                manifest_digest=artifact.digest,
                size_bytes=artifact.manifest.size_bytes,
                file_count=len(artifact.files),
                framework=artifact.manifest.framework,
            )
        )
        run: DeltaRun | None = None
        try:
            if dry_run:
                return rehearse(origin, request)
            run = self._delta_run(origin, model, artifact, deltas)
            return self._publish(origin, request, artifact, steps, run, verify=verify)
        except Unannounced:
            PUBLICATIONS.labels(model, "unannounced").inc()
            raise
        except Exception:
            PUBLICATIONS.labels(model, "failed").inc()
            raise
        finally:
            if run is not None:
                run.close()
            steps.end()

    def add_deltas(
        self, model: str, version: int, *, bases: Sequence[int] = (), progress: PublishProgress | None = None
    ) -> "tuple[DeltaOffer, ...]":
        """Make deltas of a version that was published before; what the store has is not made again.

        Args:
            model: its name.
            version: what the deltas make.
            bases: versions that they start from; none: as for a new publication, with compressed wholes.
            progress: told how it goes.

        Returns:
            What was made. Nothing is written to the log, and nothing announced: regions find deltas by looking.

        Raises:
            NotFound: no such version, or a base that is not older.
            StoreUnavailable: the store can't be reached.
            ImportError: what makes deltas is not installed (``modelcast[delta]``).
        """
        from modelcast.producers.deltas.later import add_deltas

        origin = self._connected()
        return add_deltas(self._delta_shop(origin), origin.model_log(check_model(model)), version, bases, progress)

    # --------------------------------------------------------------------------------------------------------

    def _delta_run(self, origin: Origin, model: str, artifact: Artifact, wanted: bool | None) -> "DeltaRun | None":
        """None where no file is worth a delta; where only this publication makes none, its files are still kept."""
        if not (self._settings.publish.deltas or wanted):
            return None
        size_min = max(self._settings.publish.delta_size_min_bytes, 1)
        if all(f.entry.size_bytes < size_min for f in artifact.files):
            return None
        try:
            from modelcast.producers.deltas.run import DeltaRun
        except ImportError as error:
            if (error.name or "").split(".")[0] == "modelcast":
                raise
            _logger.info("no deltas: %s; install modelcast[delta]", error, extra={"model": model})
            return None
        makes = self._settings.publish.deltas if wanted is None else wanted
        return DeltaRun(self._delta_shop(origin), model, artifact, makes=makes)

    def _delta_shop(self, origin: Origin) -> "DeltaShop":
        from modelcast.producers.deltas.shop import DeltaShop

        with self._lock:
            if self._shop is None:
                self._shop = DeltaShop(self._settings, origin.store)
            return self._shop

    def _publish(
        self,
        origin: Origin,
        request: Request,
        artifact: Artifact,
        steps: Steps,
        run: "DeltaRun | None",
        *,
        verify: bool,
    ) -> Publication:
        uploader = Uploader(origin.store, artifact, steps.progress)
        steps.begin("upload", artifact.manifest.size_bytes)
        intent, log, uploaded = self._prepare(origin, request, uploader)
        try:
            log, decision = self._decide(origin, log, request, intent.event_id)
            calls: list[Callable[[], Any]] = [] if uploaded else uploader.calls()
            if run is not None:  # first, so that no large file goes before it
                version = decision.version_in(log) or request.version or log.next_version
                calls.insert(0, partial(run.plan, log, version))
            origin.together(calls)
            if verify or decision.course is Course.ANNOUNCE:
                origin.together(uploader.checks(read_back=verify))
            if decision.course is Course.ANNOUNCE:
                raise _Standing(log, decision)
            if run is not None:
                run.finish_first(steps)
            steps.begin("claim")

            def build(log: ModelLog) -> ModelUpdate:
                decision = decide(log, request, intent.event_id)
                if decision.course is Course.ANNOUNCE:
                    raise _Standing(log, decision)
                return request.update(log, intent.event_id, time.time_ns() // 1000, run.hints if run else ())

            claimed = claim(origin.reader, log, intent.event_id, build)
            log, entry, body = claimed.log, claimed.entry, claimed.encoded
            received_us, created = claimed.last_modified_us, True
        except _Standing as standing:
            log, created = standing.log, standing.decision.completes
            timed = origin.reader.entry(request.model, standing.decision.generation)
            if timed is None:
                raise StoreUnavailable("a known log entry is gone", subject=request.model) from None
            entry, body, received_us = timed.entry, timed.body, timed.last_modified_us
        except ContentError:
            if not intent.begun_before:  # refused before anything was claimed under it
                with suppress(ModelcastError):
                    origin.store.delete(intent.key)
            raise
        origin.remember(log)
        assert isinstance(entry, ModelUpdate)
        UPLOADED_BYTES.labels(request.model).inc(uploader.uploaded_bytes)
        publication = Publication(
            model=entry.model,
            version=entry.version,
            generation=entry.generation,
            event_id=entry.event_id,
            manifest_digest=entry.artifact.manifest_digest,
            created=created,
            announced=False,
            registry_id=entry.registry_id,
            activation=entry.activation,
            size_bytes=entry.artifact.size_bytes,
            file_count=entry.artifact.file_count,
            framework=entry.artifact.framework,
            uploaded_bytes=uploader.uploaded_bytes,
            received_at_us=received_us,
            step_seconds=steps.seconds,
            notes=artifact.notes + _differences(entry, request, created) + uploader.notes,
            waiter=self._wait,
        )
        try:
            publication = self._announce(origin, publication, body, intent, steps)
        except Unannounced:
            if run is not None:
                run.end()
                run.keep()
            raise
        if run is None:
            return publication
        run.make_rest(steps)
        steps.begin("keep")
        run.keep()
        steps.end()
        return replace(publication, deltas=run.offers, notes=publication.notes + run.notes)

    def _prepare(self, origin: Origin, request: Request, uploader: Uploader) -> tuple[Intent, ModelLog, bool]:
        """Everything that does not depend on each other, at once: (intent, log, whether the bytes are up).

        A log that is known from before is taken as it is: if it is out of date, claiming its next generation
        fails and brings it up to date. Only that the store still holds its last entry is made sure of.
        """
        known = origin.known_log(request.model)
        if not origin.registry_known:
            origin.open_registry(create=True)
        calls: list[Callable[[], Any]] = [
            lambda: note_intent(origin.store, request.intent_key),
            lambda: origin.check_head(known) if known else origin.model_log(request.model),
        ]
        if not origin.conditional_puts_checked:
            calls += [origin.check_conditional_puts, lambda: put_schema(origin.store, ModelUpdate)]
        small = request.artifact.size_bytes <= SMALL_SIZE_BYTES and request.artifact.file_count <= SMALL_FILES
        intent, log, *_ = origin.together(calls + (uploader.calls() if small else []))
        return intent, log, small

    def _decide(self, origin: Origin, log: ModelLog, request: Request, event_id: str) -> tuple[ModelLog, Decision]:
        """Decide, and before anything else than a claim comes of it, on the log as it is now."""
        with suppress(Refused):
            decision = decide(log, request, event_id)
            if decision.course is Course.CLAIM:
                return log, decision
        log = origin.model_log(request.model)
        return log, decide(log, request, event_id)

    def _announce(
        self, origin: Origin, publication: Publication, body: bytes, intent: Intent, steps: Steps
    ) -> Publication:
        steps.begin("announce")
        try:
            origin.announce(publication.model, body)
        except KafkaUnavailable as error:
            steps.end()
            unannounced = Unannounced(
                f"claimed as generation {publication.generation}, but not announced: {error.message}",
                subject=str(publication),
                hint=f"{error.hint}; nothing is lost: the tracker announces it, or publish again",
            )
            unannounced.publication = publication
            raise unannounced from error
        steps.begin("close")
        with suppress(StoreUnavailable):  # left behind, it only makes the next publication of these bytes a rerun
            origin.store.delete(intent.key)
        steps.end()
        PUBLICATIONS.labels(publication.model, "created" if publication.created else "existed").inc()
        _logger.info(
            "published" if publication.created else "already published",
            extra={"model": publication.model, "version": publication.version, "generation": publication.generation},
        )
        return replace(publication, announced=True)

    def _wait(self, publication: Publication, level: Level, timeout_seconds: float) -> Verdict:
        from modelcast.producers.wait import wait_for

        return wait_for(
            self._settings,
            publication.model,
            publication.version,
            level,
            timeout_seconds=timeout_seconds,
            generation=publication.generation,
            registry_id=publication.registry_id,
            staged=publication.activation is Activation.STAGED,
        )


def _activation(word: str) -> Activation:
    try:
        return Activation(word.upper())
    except ValueError:
        known = ", ".join(a.lower() for a in Activation)
        raise UsageError(f"bad activation {word!r}", hint=f"use one of {known}") from None


def _differences(entry: ModelUpdate, request: Request, created: bool) -> tuple[str, ...]:
    """What was asked for and is not so, because these bytes were published before with other options."""
    if created:
        return ()
    found = []
    if entry.activation is not request.activation:
        found.append(f"was published with activation {entry.activation.lower()}, which stays so")
    if set(entry.placement) != set(request.placement):
        found.append(f"was published for {', '.join(entry.placement) or 'all regions'}, which stays so")
    return tuple(found)
