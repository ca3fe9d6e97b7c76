"""Publishing: what a training job calls."""

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import SupportsFloat, cast

from modelcast.infra import accelerators
from modelcast.infra.registry.audit_trail import AuditTrail
from modelcast.infra.settings import ORIGIN, Settings
from modelcast.infra.telemetry.metrics import PUBLICATIONS
from modelcast.infra.telemetry.tracing import TraceKey
from modelcast.producers.accelerator import MakeAccelerator, NoPublishAccelerator, PublishAccelerator
from modelcast.producers.artifact import Artifact, check_known, located, scan
from modelcast.producers.ending import heard_at_exit
from modelcast.producers.log_writer import LogWriter
from modelcast.producers.origin import Origin
from modelcast.producers.planning.arguments import patterns_of, switch_of, value_and_type
from modelcast.producers.planning.request import PublishRequest
from modelcast.producers.progress import PublishProgress
from modelcast.producers.publication import Publication, Published, Unannounced
from modelcast.producers.publish.dry_run import dry_run as find_out
from modelcast.producers.publish.publishing import Publishing
from modelcast.producers.step_timer import StepTimer
from modelcast.schemas import keys
from modelcast.schemas.errors import UsageError
from modelcast.schemas.names import brief
from modelcast.schemas.ports import Announcer, ObjectStore
from modelcast.schemas.records import Activation, ArtifactRef
from modelcast.schemas.trust.subjects import publish_subjects


class Publisher(LogWriter):
    """Publishes versions of models. Thread-safe; connects when it is first used.

    Args:
        settings: where everything is; None: from ``modelcast.toml`` and the environment.
        store: instead of the origin store of the settings.
        announcer: instead of Kafka as the settings have it.
        source: for the audit, where publications come from; "": this process.

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
        source: str = "",
    ) -> None:
        super().__init__(settings, store=store, announcer=announcer, source=source)
        self._accelerator: PublishAccelerator | None = None

    def after_fork(self) -> None:
        """See ``Inherited``."""
        super().after_fork()
        self._accelerator = None

    @heard_at_exit("a publication")
    def publish(
        self,
        model: str,
        path: str | os.PathLike[str],
        *,
        version: int | None = None,
        placement: str | Sequence[str] = (),
        activation: Activation | str = Activation.IMMEDIATE,
        metrics: Mapping[str, SupportsFloat] | None = None,
        labels: Mapping[str, object] | None = None,
        publisher: str = "",
        allow_pickle: bool = False,
        allow_unknown: str | Sequence[str] = (),
        progress: PublishProgress | None = None,
        dry_run: bool = False,
        accelerate: bool | None = None,
        verify: bool = False,
        allow_version_jump: bool = False,
    ) -> Published:
        """Put a version into the registry's log, and say so on Kafka.

        Interrupted anywhere and called again with the same bytes, it completes what was begun. Called from ``atexit``,
        where Python drops errors, a failure makes the process exit with 120. It returns once what
        accelerators add (deltas) is in the store, too; regions were told before that, unless waiting serves the slowest
        of them.

        Args:
            model: its name.
            path: a file, or a folder with everything that belongs to the version.
            version: None takes the next one.
            placement: regions that may have it, or one region; none: all.
            activation: ``IMMEDIATE``, or ``STAGED``: fetch now, serve when a command says so.
            metrics: what training measured, as numbers of any library.
            labels: whatever helps to find it again; numbers, dates and paths become text.
            publisher: who publishes; without it ``publish.publisher`` of the settings, else user@host.
            allow_pickle: pickles are refused unless this is set. With picklescan installed, those that import what runs
                commands are refused all the same.
            allow_unknown: names of files, or patterns as in ``.gitignore``: others of no known format are refused.
            progress: called with each step.
            dry_run: check everything and write nothing.
            accelerate: whether accelerators add what saves regions bytes; None: as ``publish.deltas`` says.
            verify: read back what the store has of these bytes already, and put right what is damaged there.
            allow_version_jump: ``version`` may be more than 1,000 above the latest; none below it can follow.

        Returns:
            The publication; ``created`` is False if these bytes were the latest version already.

        Raises:
            UsageError: a name or value makes no sense.
            Refused: the rules say no (see the message).
            Untrusted: a root of trust is pinned, and its policy does not let the keys of ``trust.keys`` say it.
            ForeignRegistry: the store is not the one that was expected.
            StoreUnavailable: the store can't be reached; nothing, or nothing certain, was claimed: publish again.
            Unannounced: it is claimed, but Kafka did not confirm; the tracker will announce it.
        """
        asked = PublishRequest.asked(
            model=model,
            version=version,
            placement=placement,
            activation=activation,
            metrics=metrics,
            labels=labels,
            publisher=self._who("publisher", publisher),
            allow_version_jump=allow_version_jump,
            must_earn=isinstance(model, str) and self._settings.model(model).rollout_only,
        )
        files = _path_of(path)
        pickles = switch_of("allow_pickle", allow_pickle) or self._settings.publish.pickles_allowed(asked.model)
        unknown = (*patterns_of("allow_unknown", allow_unknown), *self._settings.publish.unknown_allowed(asked.model))
        only_asked, checked = switch_of("dry_run", dry_run), switch_of("verify", verify)
        wanted = switch_of("accelerate", accelerate) if accelerate is not None else None
        _check_progress(progress)
        located(files)  # before a store is asked that may not answer
        timer, began_ns = StepTimer(progress), time.time_ns()
        timer.begin("scan")
        origin = self._connected()
        origin.warm_up()
        audit = self._audit(origin)
        try:
            origin.check_may(publish_subjects(asked.model, asked.activation, asked.placement))
            artifact = scan(files, allow_pickle=pickles, progress=progress)
            check_known(artifact.unknown, unknown, subject=str(files))
            request = asked.of(_reference(artifact))
            if only_asked:
                found = find_out(origin, request)
                done = replace(found, notes=artifact.notes + found.notes)
            else:
                done = self._publish(origin, request, artifact, timer, audit, accelerate=wanted, verify=checked)
        except Unannounced as error:
            PUBLICATIONS.labels(model, "unannounced").inc()
            if error.publication is not None:
                self._traced(error.publication, timer, began_ns, error.message)
            raise
        except Exception as error:
            PUBLICATIONS.labels(model, "failed").inc()
            if not only_asked:
                audit.failed(asked.publisher, "publish", asked.model, error)
            raise
        finally:
            timer.end()
        if not only_asked:
            self._traced(done, timer, began_ns)
        return Published.by(self._settings, done)

    def _traced(self, done: Publication, timer: StepTimer, began_ns: int, error: str = "") -> None:
        if done.created:
            key = TraceKey(done.registry_id, done.model, done.generation)
            about = {"modelcast.version": done.version, "modelcast.uploaded_bytes": done.uploaded_bytes}
            self._trace(key, "publish", began_ns, steps=timer.steps, about=about, error=error)

    def _publish(
        self,
        origin: Origin,
        request: PublishRequest,
        artifact: Artifact,
        timer: StepTimer,
        audit: AuditTrail,
        *,
        accelerate: bool | None,
        verify: bool,
    ) -> Publication:
        acceleration = self._accelerated(origin).accelerate(request.model, artifact, wanted=accelerate)
        try:
            return Publishing(origin, request, artifact, acceleration, timer, audit, verify=verify).run()
        finally:
            acceleration.close()

    def _accelerated(self, origin: Origin) -> PublishAccelerator:
        with self._lock:
            if self._accelerator is None:
                make = cast("MakeAccelerator | None", accelerators.load_accelerator("publish"))
                self._accelerator = make(self._settings, origin.store) if make else NoPublishAccelerator()
            return self._accelerator


def _reference(artifact: Artifact) -> ArtifactRef:
    return ArtifactRef(
        store=ORIGIN,
        manifest_key=keys.manifest(artifact.digest),
        manifest_digest=artifact.digest,
        size_bytes=artifact.manifest.size_bytes,
        file_count=len(artifact.files),
        framework=artifact.manifest.framework,
    )


def _path_of(path: str | os.PathLike[str]) -> Path:
    try:
        name = os.fsdecode(path)
    except TypeError:
        raise UsageError(f"a {type(path).__name__} is no path", hint="name a file or a folder") from None
    if not name:  # most likely a variable that is not set
        raise UsageError("the path is empty", hint='name a file or a folder; "." is the folder that you are in')
    if "\0" in name:
        raise UsageError(f"bad path {brief(name)}", hint="it holds a NUL character: name a file or a folder")
    return Path(name)


def _check_progress(progress: object) -> None:
    if progress is None or all(callable(getattr(progress, name, None)) for name in ("step", "advance", "added")):
        return
    raise UsageError(
        f"progress is {value_and_type(progress)}", hint="hand in an object with step(), advance() and added(), or None"
    )
