"""Commanding: what an operator calls."""

import logging
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from modelcast.infra.registry.audit_trail import AuditNote
from modelcast.infra.registry.claim import AlreadyThere, claim
from modelcast.infra.settings import Settings
from modelcast.infra.telemetry.metrics import COMMANDS
from modelcast.infra.telemetry.tracing import trace_of
from modelcast.producers.ending import heard_at_exit
from modelcast.producers.log_writer import LogWriter
from modelcast.producers.origin import Origin
from modelcast.producers.planning.arguments import region_names_of, text_of, verb_of
from modelcast.producers.planning.commands import Targets, check_command, check_earned, rollback_targets, targets_of
from modelcast.producers.planning.needless import changes_nothing
from modelcast.schemas.errors import KafkaUnavailable, MovedOn, NotAnnounced, UsageError
from modelcast.schemas.log.fold import ModelLog
from modelcast.schemas.log.verbs import RULES
from modelcast.schemas.names import check_alias, check_model
from modelcast.schemas.ports import Announcer, ObjectStore
from modelcast.schemas.records import CommandKind, ModelCommand

REASON_MAX = 1024
NOTHING_TO_RELEASE = "%s/%s: nothing to release: it is not quarantined, and no region refuses it"

_logger = logging.getLogger(__name__)


class Commander(LogWriter):
    """Writes commands into models' logs. Thread-safe; connects when it is first used.

    Every method names its regions (none: all, also those to come), ``reason`` and ``requested_by`` (without it:
    user@host), and returns the command as it stands in the log; None if that holds already: then there is no new
    entry (``decided_on`` tells how long the log was). A release and a reload are always written, and whatever makes a
    region serve or hold something if it comes with a reason; each has regions that failed try again at once. They
    raise ``NotFound`` (no such model or version), ``Refused`` (placement, quarantine), ``UsageError`` (names),
    ``StoreUnavailable``, and ``NotAnnounced``: it is claimed, but Kafka did not confirm; the tracker will announce it.

    Args:
        settings: where everything is; None: from ``modelcast.toml`` and the environment.
        dry_run: check each command against the log and return it as it would be, but write and announce nothing.
        store: instead of the origin store of the settings.
        announcer: instead of Kafka as the settings have it.
        source: for the audit, where commands come from; "": this process.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        dry_run: bool = False,
        store: ObjectStore | None = None,
        announcer: Announcer | None = None,
        source: str = "",
    ) -> None:
        super().__init__(settings, store=store, announcer=announcer, source=source)
        self._dry_run = dry_run
        self._decided_on: dict[str, int] = {}
        self._logs: dict[str, ModelLog] = {}

    def decided_on(self, model: str) -> int:
        """The log's last generation when the newest command about ``model`` was built or found needless; 0: none was.

        Where nothing was written, a caller that waits for regions waits for what is known of this generation: older
        reports may be from before the entry that made the command needless.
        """
        return self._decided_on.get(check_model(model), 0)

    def log_decided_on(self, model: str) -> ModelLog | None:
        """The log as it was when the newest command about ``model`` was built, without that command; None: none was."""
        return self._logs.get(check_model(model))

    @heard_at_exit("a command")
    def command(
        self,
        kind: CommandKind | str,
        model: str,
        *,
        version: int | None = None,
        regions: str | Iterable[str] = (),
        alias: str = "",
        last_consistent: int | None = None,
        reason: str = "",
        requested_by: str = "",
        expected_generation: int | None = None,
    ) -> ModelCommand | None:
        """Any verb; what it means, and what it takes, stands in ``modelcast.schemas.log.verbs``.

        Args:
            kind: the verb, or its name, as in ``pin``.
            model: its name.
            version: for verbs that take one; a rollback without it finds its own (see ``rollback``).
            regions: where; none: everywhere.
            alias: for verbs that take one.
            last_consistent: for a rollback without ``version``.
            reason: why; it stands in the model's history.
            requested_by: who asked.
            expected_generation: the log's last one that the caller has seen; None: any.

        Raises:
            MovedOn: the log has another last generation than expected; besides what all methods raise.
        """
        kind, regions = verb_of(kind), region_names_of(regions)
        rule = RULES[kind]
        if rule.takes_alias:
            check_alias(alias)
        if regions and not rule.by_region:
            raise UsageError(f"{kind.lower()} concerns all regions", subject=model, hint="leave the regions out")
        if kind is CommandKind.ROLLBACK and version is None:
            targets = rollback_targets(regions, last_consistent)
        elif rule.takes_version and version is None:
            raise UsageError(f"{kind.lower()} needs a version", subject=model, hint=f"write {model}/NUMBER")
        else:
            targets = targets_of(regions, version)
        return self._claim(kind, model, targets, reason, requested_by, alias, expected_generation)

    def activate(
        self, model: str, version: int, *, regions: str | Iterable[str] = (), reason: str = "", requested_by: str = ""
    ) -> ModelCommand | None:
        """Serve a version, from now until the next publication or command."""
        kind = CommandKind.ACTIVATE
        return self.command(kind, model, version=version, regions=regions, reason=reason, requested_by=requested_by)

    def rollback(
        self,
        model: str,
        *,
        to: int | None = None,
        last_consistent: int | None = None,
        regions: str | Iterable[str] = (),
        reason: str = "",
        requested_by: str = "",
    ) -> ModelCommand | None:
        """Serve an older version again. It does not hold back the next publication; a pin does.

        Args:
            model: its name.
            to: the version; None: ``last_consistent`` if that is not what is aspired now, else what was activated
                before it, by the log.
            last_consistent: what the tracker last saw served everywhere, if the caller knows.
            regions: where; none: everywhere.
            reason: why.
            requested_by: who asked.
        """
        return self.command(
            CommandKind.ROLLBACK, model, version=to, regions=regions, last_consistent=last_consistent,
            reason=reason, requested_by=requested_by,
        )  # fmt: skip

    def pin(
        self, model: str, version: int, *, regions: str | Iterable[str] = (), reason: str = "", requested_by: str = ""
    ) -> ModelCommand | None:
        """Serve a version whatever is published or activated, until ``unpin``."""
        kind = CommandKind.PIN
        return self.command(kind, model, version=version, regions=regions, reason=reason, requested_by=requested_by)

    def unpin(
        self, model: str, *, regions: str | Iterable[str] = (), reason: str = "", requested_by: str = ""
    ) -> ModelCommand | None:
        """Follow the log again."""
        return self.command(CommandKind.UNPIN, model, regions=regions, reason=reason, requested_by=requested_by)

    def pause(
        self, model: str, *, regions: str | Iterable[str] = (), reason: str = "", requested_by: str = ""
    ) -> ModelCommand | None:
        """Stay at what is aspired now."""
        return self.command(CommandKind.PAUSE, model, regions=regions, reason=reason, requested_by=requested_by)

    def resume(
        self, model: str, *, regions: str | Iterable[str] = (), reason: str = "", requested_by: str = ""
    ) -> ModelCommand | None:
        """End a pause."""
        return self.command(CommandKind.RESUME, model, regions=regions, reason=reason, requested_by=requested_by)

    def reload(
        self, model: str, *, regions: str | Iterable[str] = (), reason: str = "", requested_by: str = ""
    ) -> ModelCommand | None:
        """Have pods load again what they serve."""
        return self.command(CommandKind.RELOAD, model, regions=regions, reason=reason, requested_by=requested_by)

    def quarantine(self, model: str, version: int, *, reason: str = "", requested_by: str = "") -> ModelCommand | None:
        """Have no pod serve a version until it is released."""
        return self.command(CommandKind.QUARANTINE, model, version=version, reason=reason, requested_by=requested_by)

    def release(self, model: str, version: int, *, reason: str = "", requested_by: str = "") -> ModelCommand | None:
        """End a quarantine, a person's or a region's own; None, and a warning, where there is none."""
        return self.command(CommandKind.RELEASE, model, version=version, reason=reason, requested_by=requested_by)

    def alias(
        self, model: str, alias: str, version: int, *, reason: str = "", requested_by: str = ""
    ) -> ModelCommand | None:
        """Let ``model@alias`` mean a version."""
        kind = CommandKind.ALIAS
        return self.command(kind, model, version=version, alias=alias, reason=reason, requested_by=requested_by)

    def _refused_by_regions(self, model: str, asked: frozenset[int]) -> frozenset[int]:
        """What regions refuse of their own accord, by the tracker; all that is ``asked`` about if that is not known."""
        _, announcer = self._given
        if not asked or announcer is not None:  # a caller's own announcer: where the tracker reports is not known
            return asked
        from modelcast.producers.wait import versions_refused

        found = versions_refused(self._settings, model)
        return asked if found is None else found

    def _claim(
        self,
        kind: CommandKind,
        model: str,
        targets: Targets,
        reason: str,
        requested_by: str,
        alias: str = "",
        expected_generation: int | None = None,
        more: Callable[[ModelLog], Mapping[str, Any]] = lambda _: {},
    ) -> ModelCommand | None:
        check_model(model)
        reason, asker = text_of("reason", reason), self._who("requested_by", requested_by)
        if len(reason) > REASON_MAX:
            raise UsageError(f"a reason of {len(reason)} characters", subject=model, hint=f"at most {REASON_MAX}")
        origin = self._connected()
        if self._dry_run:
            note = AuditNote()
            return self._write(origin, note, kind, model, targets, reason, asker, alias, expected_generation, more)
        with self._audit(origin).of(asker, kind.lower(), model, reason=reason) as note:
            return self._write(origin, note, kind, model, targets, reason, asker, alias, expected_generation, more)

    def _write(
        self,
        origin: Origin,
        note: AuditNote,
        kind: CommandKind,
        model: str,
        targets: Targets,
        reason: str,
        asker: str,
        alias: str,
        expected_generation: int | None,
        more: Callable[[ModelLog], Mapping[str, Any]],
    ) -> ModelCommand | None:
        """Claim what was asked, unless it holds already, and announce it; ``note`` is filled in."""
        origin.warm_up()
        known = origin.known_log(model)
        if not origin.registry_known:
            origin.open_registry(create=False)
        calls: list[Callable[[], Any]] = [lambda: origin.model_log(model)]
        if not self._dry_run:
            calls.append(origin.check_conditional_puts)  # it writes
        log, *_ = origin.together(calls + ([lambda: origin.check_standing(known)] if known else []))
        released = _released(log, kind, targets)
        idle = bool(released - log.quarantined.keys()) and not released & self._refused_by_regions(model, released)
        event_id, now_us = uuid.uuid4().hex, time.time_ns() // 1000

        def build(log: ModelLog) -> ModelCommand | None:
            self._logs[model] = log
            if expected_generation is not None and log.head != expected_generation:
                newer = f"the log is at generation {log.head}, not {expected_generation}"
                raise MovedOn(newer, subject=model, hint="look at what has changed, and decide again")
            command = ModelCommand(
                registry_id=log.registry_id,
                event_id=event_id,
                model=model,
                generation=log.head + 1,
                kind=kind,
                targets=targets(log) if log.updates else (),
                requested_at_us=now_us,
                requested_by=asker,
                reason=reason,
                alias=alias,
                **more(log),
            )
            check_command(log, command)
            if self._settings.model(model).rollout_only:
                check_earned(log, command)
            log.check(command)
            if idle and not released & log.quarantined.keys():
                _logger.warning(NOTHING_TO_RELEASE, model, *released)
                return None
            return None if changes_nothing(log, command) else command

        if self._dry_run:
            self._decided_on[model] = log.head
            return build(log)
        claimed = claim(origin.reader, log, event_id, build)
        if isinstance(claimed, AlreadyThere):
            self._decided_on[model] = claimed.log.head
            note.result = "needless"
            return None
        self._decided_on[model] = claimed.entry.generation - 1
        origin.remember(claimed.log)
        command = claimed.entry
        assert isinstance(command, ModelCommand)
        note.generation, note.detail = command.generation, targets_text(command)
        COMMANDS.labels(model, kind.lower()).inc()
        try:
            origin.announce(model, claimed.encoded)
        except KafkaUnavailable as error:
            self._trace(trace_of(command), kind.lower(), now_us * 1000, error=error.message)
            raise NotAnnounced(
                f"{kind.lower()} is claimed as generation {command.generation}, but not announced: {error.message}",
                subject=model,
                hint=f"{error.hint}; nothing is lost: the tracker announces it, don't repeat it",
            ) from error
        self._trace(trace_of(command), kind.lower(), now_us * 1000)
        return command


def targets_text(command: ModelCommand) -> str:
    """What a command names, for people: versions and regions."""
    named = [
        " ".join((*([f"version {t.version}"] if t.version else []), *([f"in {t.region}"] if t.region else [])))
        for t in command.targets
    ]
    return ", ".join(filter(None, (command.alias, *named)))


def _released(log: ModelLog, kind: CommandKind, targets: Targets) -> frozenset[int]:
    """The version that a release frees, if there is one."""
    if kind is not CommandKind.RELEASE or not log.updates:
        return frozenset()
    return frozenset(t.version for t in targets(log) if t.version is not None and t.version in log.updates)
