"""Commands that change what regions serve, one for each verb of ``schemas/log/verbs.py``. Each asks first."""

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from modelcast.cli.configured import load, origin_registry, regions_of, warnings_only
from modelcast.cli.console import Format, emit, say
from modelcast.cli.options import DryRun, Output, Reason, Regions, UnknownRegionOk, Yes, confirm, seconds_of
from modelcast.schemas.errors import ModelcastError, UsageError
from modelcast.schemas.log.verbs import RULES, Rule
from modelcast.schemas.names import Reference
from modelcast.schemas.quantities import duration
from modelcast.schemas.records import ALL_REGIONS, CommandKind, ModelCommand
from modelcast.schemas.states import STALE_SECONDS

if TYPE_CHECKING:
    from modelcast.infra.settings import Settings
    from modelcast.producers.commands import Commander

Model = Annotated[str, typer.Argument(help="The model, as in fraud.")]
Version = Annotated[str, typer.Argument(help="The version, as in fraud/7 or fraud@champion.")]
Alias = Annotated[str, typer.Argument(help="The alias, as in champion.")]
To = Annotated[int | None, typer.Option("--to", min=1, help="The version; without it, the last consistent one.")]
Wait = Annotated[bool, typer.Option("--wait", help="Until every region serves it.")]
Timeout = Annotated[str, typer.Option("--timeout", help="With --wait: how long, as in 30s, 5m.")]
Write = Callable[["Commander"], ModelCommand | None]
Command = Callable[..., None]


def register(app: typer.Typer) -> None:
    """Add a command for each verb to the command line."""
    for kind, rule in RULES.items():
        if rule.stands_alone:
            continue  # `registry accept` looks up what it names; `rollout` has commands of its own
        app.command(kind.lower(), help=rule.help)(_command_of(kind, rule))


def _command_of(kind: CommandKind, rule: Rule) -> Command:
    """The command whose arguments fit what the verb takes."""
    if kind is CommandKind.ROLLBACK:
        return _rollback
    if rule.takes_alias:
        return _naming(kind, rule)
    if rule.serves:
        return _serving(kind, rule)
    return _of_version(kind, rule) if rule.takes_version else _of_regions(kind, rule)


def _serving(kind: CommandKind, rule: Rule) -> Command:
    def command(
        version: Version, region: Regions = None, unknown_region_ok: UnknownRegionOk = False, reason: Reason = "",
        yes: Yes = False, dry_run: DryRun = False, wait: Wait = False, timeout: Timeout = "5m",
        output: Output = Format.table,
    ) -> None:  # fmt: skip
        seconds, settings = seconds_of(timeout), load()
        regions = regions_of(settings, region, unknown_ok=unknown_region_ok)
        model, number = _version(version)
        command, generation = _do(
            settings,
            model,
            rule.question.format(model=model, version=number, where=_where(regions)),
            lambda c: c.command(kind, model, version=number, regions=regions, reason=reason),
            yes=yes, dry_run=dry_run, output=output, retried=regions,
        )  # fmt: skip
        if wait and not dry_run:
            _wait(settings, model, command, generation, {number: regions}, seconds)

    return command


def _rollback(
    model: Model, to: To = None, region: Regions = None, unknown_region_ok: UnknownRegionOk = False,
    reason: Reason = "", yes: Yes = False, dry_run: DryRun = False, wait: Wait = False, timeout: Timeout = "5m",
    output: Output = Format.table,
) -> None:  # fmt: skip
    kind = CommandKind.ROLLBACK
    seconds, settings = seconds_of(timeout), load()
    regions = regions_of(settings, region, unknown_ok=unknown_region_ok)
    name = _model(model, "the version to go back to: --to")
    consistent = _last_consistent(settings, name) if to is None else None
    goal = f"version {to or consistent}" if to or consistent else "the version before"
    command, generation = _do(
        settings,
        name,
        RULES[kind].question.format(model=name, goal=goal, where=_where(regions)),
        lambda c: c.command(kind, name, version=to, last_consistent=consistent, regions=regions, reason=reason),
        yes=yes, dry_run=dry_run, output=output, retried=regions,
    )  # fmt: skip
    if wait and not dry_run:
        _wait(settings, name, command, generation, {to: regions} if to else {}, seconds)


def _of_regions(kind: CommandKind, rule: Rule) -> Command:
    def command(
        model: Model, region: Regions = None, unknown_region_ok: UnknownRegionOk = False, reason: Reason = "",
        yes: Yes = False, dry_run: DryRun = False, output: Output = Format.table,
    ) -> None:  # fmt: skip
        name, settings = _model(model), load()
        regions = regions_of(settings, region, unknown_ok=unknown_region_ok)
        _do(
            settings,
            name,
            rule.question.format(model=name, where=_where(regions)),
            lambda c: c.command(kind, name, regions=regions, reason=reason),
            yes=yes, dry_run=dry_run, output=output,
        )  # fmt: skip

    return command


def _of_version(kind: CommandKind, rule: Rule) -> Command:
    def command(
        version: Version, reason: Reason = "", yes: Yes = False, dry_run: DryRun = False, output: Output = Format.table,
    ) -> None:  # fmt: skip
        model, number = _version(version)
        settings = load()
        if kind is CommandKind.RELEASE and (why := _released_already(settings, model, number)):
            emit(None, output, Text(f"{model}/{number}: nothing to release: {why}"))
            return
        _do(
            settings,
            model,
            rule.question.format(model=model, version=number),
            lambda c: c.command(kind, model, version=number, reason=reason),
            yes=yes, dry_run=dry_run, output=output,
        )  # fmt: skip

    return command


def _naming(kind: CommandKind, rule: Rule) -> Command:
    def command(
        version: Version, name: Alias, reason: Reason = "", yes: Yes = False, dry_run: DryRun = False,
        output: Output = Format.table,
    ) -> None:  # fmt: skip
        model, number = _version(version)
        _do(
            load(),
            model,
            rule.question.format(model=model, version=number, alias=name),
            lambda c: c.command(kind, model, version=number, alias=name, reason=reason),
            yes=yes, dry_run=dry_run, output=output,
        )  # fmt: skip

    return command


def _do(
    settings: "Settings", model: str, question: str, write: Write, *, yes: bool, dry_run: bool, output: Format,
    retried: Sequence[str] | None = None,
) -> tuple[ModelCommand | None, int]:  # fmt: skip
    """Ask a person, then write it: the command, and the generation to wait for.

    The command is None after a dry run, and where it would change nothing. ``retried``: regions (none: all) in which
    such an entry would have made regions try again what failed; the answer then names the command that does so.
    """
    from modelcast.producers.commands import Commander

    warnings_only()
    if not dry_run:
        confirm(question, yes=yes)
    with Commander(settings, dry_run=dry_run) as commander:
        command = write(commander)
        decided_on = commander.decided_on(model)
    if command is None:
        answer = f"{model}: nothing to change"
        if retried is not None:
            reload_ = " ".join([f"modelcast reload {model}", *(f"--region {region}" for region in retried)])
            answer += f"; `{reload_}` has regions try again now"
        emit(None, output, Text(answer))
        return None, decided_on
    if dry_run:
        where = "; ".join(f"version {t.version}" + (f" in {t.region}" if t.region else "") for t in command.targets)
        detail = f" ({where})" if any(t.version for t in command.targets) else ""
        text = f"{command.model}: {command.kind.value.lower()}{detail} would be generation {command.generation}"
        emit(command, output, Text(text))
        return None, decided_on
    line = f"{command.model}: {command.kind.value.lower()} is generation {command.generation}, announced"
    emit(command, output, Text(line))
    return command, command.generation


def _wait(
    settings: "Settings",
    model: str,
    command: ModelCommand | None,
    generation: int,
    asked: dict[int, tuple[str, ...]],
    timeout_seconds: float,
) -> None:
    """Wait until each region serves what the command names or, without one, what was ``asked`` of it.

    The timeout is for all of them. Without a command (there was nothing to change) regions may still be fetching, and
    reports from before the tracker had folded ``generation`` may be older than the entry that asked for it.
    """
    from modelcast.producers.wait import wait_for

    deadline = time.monotonic() + timeout_seconds
    wanted: dict[int, list[str]] = {version: list(regions) for version, regions in asked.items()}
    if command is not None:
        wanted = {}
        for target in command.targets:
            if target.version is not None:
                wanted.setdefault(target.version, []).append(target.region)
    for version, regions in wanted.items():
        reached = wait_for(
            settings, model, version, "all", timeout_seconds=max(0.1, deadline - time.monotonic()),
            generation=generation, regions=() if ALL_REGIONS in regions else regions,
            note=say,
        )  # fmt: skip
        say(f"{model}/{version}: served in {', '.join(reached.there)}")


def _model(text: str, instead: str = "it concerns the model, whatever its version") -> str:
    """The model that a reference means. One that names a version is refused: it would be obeyed in part only."""
    wanted = Reference.parse(text)
    if str(wanted) != wanted.model:
        raise UsageError(f"{text!r} names a version", hint=f"write {wanted.model}; {instead}")
    return wanted.model


def _version(text: str) -> tuple[str, int]:
    wanted = Reference.parse(text)
    if wanted.version is not None:
        return wanted.model, wanted.version
    if wanted.alias is None:
        raise UsageError(f"{text!r} names no version", hint=f"write {wanted.model}/NUMBER or {wanted.model}@ALIAS")
    from modelcast.cli.views.registry import read_log

    log, _ = read_log(origin_registry(load()), wanted.model)
    return wanted.model, log.resolve(wanted).version


def _released_already(settings: "Settings", model: str, version: int) -> str:
    """Why a release would change nothing; "": it may change something.

    The log holds what people quarantined; what a region refuses of its own accord, only its reports tell.
    """
    from modelcast.cli.views.registry import read_log
    from modelcast.cli.views.state_source import StateSource
    from modelcast.producers.planning.refusals import refused_versions

    log, _ = read_log(origin_registry(settings), model)
    if version in log.quarantined or version not in log.updates:
        return ""
    try:
        seen = StateSource(settings).model(model)
    except ModelcastError:
        seen = None
    if seen is None or seen.age_seconds > STALE_SECONDS:
        say("the tracker's reports can't be read: a region may refuse it of its own accord")
        return ""
    if version in refused_versions(seen.state):
        return ""
    return f"it is not quarantined, and no region refuses it (as of {duration(seen.age_seconds)} ago)"


def _where(regions: Sequence[str]) -> str:
    return f"in {', '.join(regions)}" if regions else "in all regions"


def _last_consistent(settings: "Settings", model: str) -> int | None:
    from modelcast.cli.views.state_source import StateSource

    try:
        seen = StateSource(settings).model(model)
    except ModelcastError:
        say("the tracker's reports can't be read: going by the log")
        return None
    return seen.state.last_consistent_version if seen else None
