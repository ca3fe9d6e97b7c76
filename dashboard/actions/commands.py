"""Takes commands: reads the request, writes it into the model's log, and answers what it changes."""

from collections.abc import Collection
from dataclasses import dataclass

import orjson

from modelcast.dashboard.actions.effects import CommandEffect, effect
from modelcast.infra.settings import Settings
from modelcast.producers import Commander
from modelcast.schemas.errors import NotFound, UsageError
from modelcast.schemas.names import check_model
from modelcast.schemas.ports import Announcer, ObjectStore
from modelcast.schemas.records import CommandKind

KINDS = (
    CommandKind.PIN,
    CommandKind.UNPIN,
    CommandKind.PAUSE,
    CommandKind.RESUME,
    CommandKind.ROLLBACK,
    CommandKind.RELOAD,
    CommandKind.RELEASE,
)
"""Verbs that the dashboard takes; the command line has all."""
FIELDS = {"kind", "version", "regions", "reason", "expected_generation", "dry_run"}
HINT = "a JSON object of " + ", ".join(sorted(FIELDS))


@dataclass(frozen=True, slots=True)
class CommandRequest:
    """A command as it was requested. Without ``regions`` it means all."""

    kind: CommandKind
    version: int | None
    regions: tuple[str, ...]
    reason: str
    expected_generation: int
    dry_run: bool


class CommandWriter:
    """Writes commands. Thread-safe.

    Args:
        settings: where the origin store and Kafka are.
        store: instead of the origin store of the settings.
        announcer: instead of Kafka as the settings have it.
    """

    def __init__(
        self, settings: Settings, *, store: ObjectStore | None = None, announcer: Announcer | None = None
    ) -> None:
        self._settings, self._store, self._announcer = settings, store, announcer

    kinds = KINDS

    def take(
        self,
        model: str,
        body: bytes,
        *,
        requested_by: str,
        source: str,
        regions: Collection[str],
        last_consistent: int | None = None,
    ) -> CommandEffect:
        """Write the command that ``body`` asks for, or answer what it would change.

        Args:
            model: its name.
            body: JSON with ``kind``, ``expected_generation``, and as the verb needs ``version``, ``regions``;
                ``reason``; ``dry_run``: only say it.
            requested_by: whose command it is.
            source: for the audit, where it comes from.
            regions: those that are known; a command for another one is refused.
            last_consistent: for a rollback that names no version.

        Raises:
            UsageError: the body is not such JSON.
            MovedOn: the log is at another generation than expected.
            ModelcastError: as ``Commander`` raises.
        """
        asked = request_of(check_model(model), body)
        unknown = [region for region in asked.regions if region not in regions]
        if unknown:
            raise NotFound("the tracker knows of no such region", subject=unknown[0][:80], hint="see /api/v1/regions")
        with Commander(
            self._settings, dry_run=asked.dry_run, store=self._store, announcer=self._announcer, source=source
        ) as commander:
            command = commander.command(
                asked.kind,
                model,
                version=asked.version,
                regions=asked.regions,
                last_consistent=last_consistent,
                reason=asked.reason,
                requested_by=requested_by,
                expected_generation=asked.expected_generation,
            )
            log = commander.log_decided_on(model)
        if command is None or log is None:
            return CommandEffect(model, asked.kind, 0, False, requested_by, len(regions), ())
        return effect(log, command, regions, written=not asked.dry_run)


def request_of(model: str, body: bytes) -> CommandRequest:
    """The command that a body asks for.

    Raises:
        UsageError: it is not the JSON that ``CommandWriter.take`` names.
    """
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise UsageError(f"this is no JSON: {error}", subject=model, hint=HINT) from None
    if not isinstance(found, dict):
        raise UsageError("this is no JSON object", subject=model, hint=HINT)
    if extra := sorted(found.keys() - FIELDS):
        raise UsageError(f"a command has no {extra[0][:40]!r}", subject=model, hint=HINT)
    kind, expected = str(found.get("kind", "")).upper(), found.get("expected_generation")
    version, regions = found.get("version"), found.get("regions", [])
    if kind not in {each.value for each in KINDS}:
        known = ", ".join(each.value.lower() for each in KINDS)
        raise UsageError(f"kind is {str(found.get('kind'))[:40]!r}", subject=model, hint=f"one of {known}")
    if type(expected) is not int or expected < 0:
        hint = "the head_generation that was seen"
        raise UsageError("expected_generation is no generation", subject=model, hint=hint)
    if version is not None and (type(version) is not int or version < 1):
        raise UsageError("version is no version", subject=model, hint="a number from 1, or none")
    if not isinstance(regions, list) or not all(isinstance(each, str) and each for each in regions):
        raise UsageError("regions is no list of names", subject=model, hint="an empty one: all regions")
    reason, dry_run = found.get("reason", ""), found.get("dry_run", False)
    if not isinstance(reason, str) or type(dry_run) is not bool:
        raise UsageError("reason is text, and dry_run true or false", subject=model, hint=HINT)
    return CommandRequest(CommandKind(kind), version, tuple(regions), reason, expected, dry_run)
