"""Commands that change what regions serve: ``activate``, ``rollback``, ``pin`` … Each says why, and asks first."""

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from modelcast.cli.configured import load, origin_registry, regions_of
from modelcast.cli.console import Format, emit, say
from modelcast.cli.options import DryRun, Output, Reason, Regions, UnknownRegionOk, Yes, confirm, seconds_of
from modelcast.schemas.errors import ModelcastError, UsageError
from modelcast.schemas.names import Reference
from modelcast.schemas.records import ALL_REGIONS, ModelCommand

if TYPE_CHECKING:
    from modelcast.infra.settings import Settings
    from modelcast.producers.commands import Commander

Model = Annotated[str, typer.Argument(help="The model, as in fraud.")]
Version = Annotated[str, typer.Argument(help="The version, as in fraud/7 or fraud@champion.")]
Wait = Annotated[bool, typer.Option("--wait", help="Until every region serves it.")]
Timeout = Annotated[str, typer.Option("--timeout", help="With --wait: how long, as in 30s, 5m.")]
Say = Callable[["Commander"], ModelCommand | None]


def register(app: typer.Typer) -> None:
    """Add these commands to the command line."""
    for command in (activate, rollback, pin, unpin, pause, resume, reload, quarantine, release, alias):
        app.command()(command)


def activate(
    version: Version, region: Regions = None, unknown_region_ok: UnknownRegionOk = False, reason: Reason = "",
    yes: Yes = False, dry_run: DryRun = False, wait: Wait = False, timeout: Timeout = "5m",
    output: Output = Format.table,
) -> None:  # fmt: skip
    """Serve a version (a staged one, say), until the next publication or command."""
    seconds, settings = seconds_of(timeout), load()
    regions = regions_of(settings, region, unknown_ok=unknown_region_ok)
    model, number = _version(version)
    command, generation = _do(
        settings,
        model,
        f"Serve {model}/{number} {_where(regions)}?",
        lambda c: c.activate(model, number, regions=regions, reason=reason),
        yes=yes, dry_run=dry_run, output=output, retried=regions,
    )  # fmt: skip
    if wait and not dry_run:
        _wait(settings, model, command, generation, {number: regions}, seconds)


def rollback(
    model: Model,
    to: Annotated[int | None, typer.Option("--to", min=1, help="The version. Without it, the last that was consistent.")] = None,  # noqa: E501
    region: Regions = None, unknown_region_ok: UnknownRegionOk = False, reason: Reason = "",
    yes: Yes = False, dry_run: DryRun = False, wait: Wait = False, timeout: Timeout = "5m",
    output: Output = Format.table,
) -> None:  # fmt: skip
    """Serve an older version again. It does not hold back the next publication; a pin does."""
    seconds, settings = seconds_of(timeout), load()
    regions = regions_of(settings, region, unknown_ok=unknown_region_ok)
    name = _model(model, "the version to go back to: --to")
    consistent = _last_consistent(settings, name) if to is None else None
    goal = f"version {to}" if to else f"version {consistent}" if consistent else "the version before"
    command, generation = _do(
        settings,
        name,
        f"Roll {name} back to {goal} {_where(regions)}?",
        lambda c: c.rollback(
            name, to=to, last_consistent=consistent, regions=regions, reason=reason
        ),
        yes=yes, dry_run=dry_run, output=output, retried=regions,
    )  # fmt: skip
    if wait and not dry_run:
        _wait(settings, name, command, generation, {to: regions} if to else {}, seconds)


def pin(
    version: Version, region: Regions = None, unknown_region_ok: UnknownRegionOk = False, reason: Reason = "",
    yes: Yes = False, dry_run: DryRun = False, wait: Wait = False, timeout: Timeout = "5m",
    output: Output = Format.table,
) -> None:  # fmt: skip
    """Serve a version whatever is published or activated, until `unpin`."""
    seconds, settings = seconds_of(timeout), load()
    regions = regions_of(settings, region, unknown_ok=unknown_region_ok)
    model, number = _version(version)
    command, generation = _do(
        settings,
        model,
        f"Pin {model} to version {number} {_where(regions)}?",
        lambda c: c.pin(model, number, regions=regions, reason=reason),
        yes=yes, dry_run=dry_run, output=output, retried=regions,
    )  # fmt: skip
    if wait and not dry_run:
        _wait(settings, model, command, generation, {number: regions}, seconds)


def unpin(
    model: Model, region: Regions = None, unknown_region_ok: UnknownRegionOk = False, reason: Reason = "",
    yes: Yes = False, dry_run: DryRun = False, output: Output = Format.table,
) -> None:  # fmt: skip
    """Follow the log again."""
    _plainly("Unpin", model, "unpin", region, unknown_region_ok, reason, yes=yes, dry_run=dry_run, output=output)


def pause(
    model: Model, region: Regions = None, unknown_region_ok: UnknownRegionOk = False, reason: Reason = "",
    yes: Yes = False, dry_run: DryRun = False, output: Output = Format.table,
) -> None:  # fmt: skip
    """Stay at what is aspired now, whatever is published."""
    _plainly("Pause", model, "pause", region, unknown_region_ok, reason, yes=yes, dry_run=dry_run, output=output)


def resume(
    model: Model, region: Regions = None, unknown_region_ok: UnknownRegionOk = False, reason: Reason = "",
    yes: Yes = False, dry_run: DryRun = False, output: Output = Format.table,
) -> None:  # fmt: skip
    """End a pause."""
    _plainly("Resume", model, "resume", region, unknown_region_ok, reason, yes=yes, dry_run=dry_run, output=output)


def reload(
    model: Model, region: Regions = None, unknown_region_ok: UnknownRegionOk = False, reason: Reason = "",
    yes: Yes = False, dry_run: DryRun = False, output: Output = Format.table,
) -> None:  # fmt: skip
    """Have every pod load anew what it serves."""
    _plainly("Reload", model, "reload", region, unknown_region_ok, reason, yes=yes, dry_run=dry_run, output=output)


def quarantine(
    version: Version, reason: Reason = "", yes: Yes = False, dry_run: DryRun = False, output: Output = Format.table,
) -> None:  # fmt: skip
    """Have nobody load a version until it is released; regions go back to what they served before it."""
    model, number = _version(version)
    _do(
        load(),
        model,
        f"Quarantine {model}/{number} everywhere?",
        lambda c: c.quarantine(model, number, reason=reason),
        yes=yes, dry_run=dry_run, output=output,
    )  # fmt: skip


def release(
    version: Version, reason: Reason = "", yes: Yes = False, dry_run: DryRun = False, output: Output = Format.table,
) -> None:  # fmt: skip
    """End a quarantine: a person's, or one that a region found by itself."""
    model, number = _version(version)
    _do(
        load(),
        model,
        f"Release {model}/{number}?",
        lambda c: c.release(model, number, reason=reason),
        yes=yes, dry_run=dry_run, output=output,
    )  # fmt: skip


def alias(
    version: Version,
    name: Annotated[str, typer.Argument(help="The alias, as in champion.")],
    reason: Reason = "", yes: Yes = False, dry_run: DryRun = False, output: Output = Format.table,
) -> None:  # fmt: skip
    """Let MODEL@ALIAS mean a version."""
    model, number = _version(version)
    _do(
        load(),
        model,
        f"Let {model}@{name} mean version {number}?",
        lambda c: c.alias(model, name, number, reason=reason),
        yes=yes, dry_run=dry_run, output=output,
    )  # fmt: skip


def _plainly(
    verb: str, model: str, method: str, region: list[str] | None, unknown_ok: bool, reason: str, *,
    yes: bool, dry_run: bool, output: Format,
) -> None:  # fmt: skip
    name, settings = _model(model), load()
    regions = regions_of(settings, region, unknown_ok=unknown_ok)
    _do(
        settings,
        name,
        f"{verb} {name} {_where(regions)}?",
        lambda c: getattr(c, method)(name, regions=regions, reason=reason),
        yes=yes, dry_run=dry_run, output=output,
    )  # fmt: skip


def _do(
    settings: "Settings", model: str, question: str, say_it: Say, *, yes: bool, dry_run: bool, output: Format,
    retried: Sequence[str] | None = None,
) -> tuple[ModelCommand | None, int]:  # fmt: skip
    """Ask, and say it; with the generation to wait for.

    None: nothing was said, for it was to be tried out only, or would change nothing. Where such an entry has the
    regions ``retried`` (none: all) try again what failed, the answer tells of the command that does so now.
    """
    from modelcast.producers.commands import Commander

    if not dry_run:
        confirm(question, yes=yes)
    with Commander(settings, dry_run=dry_run) as commander:
        command = say_it(commander)
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
    """Until each region serves what was ``asked`` of it or, where the command named that, what it names.

    The time is for all of them. Without a command (there was nothing to change) they may be on their way still, and
    what the tracker said before it had folded ``generation`` may be older than the entry that asked for it.
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
        verdict = wait_for(
            settings, model, version, "all", timeout_seconds=max(0.1, deadline - time.monotonic()),
            generation=generation, regions=() if ALL_REGIONS in regions else regions,
        )  # fmt: skip
        say(f"{model}/{version}: served in {', '.join(verdict.there)}")


def _model(text: str, instead: str = "it concerns the model, whatever its version") -> str:
    """The model that a reference means; one that names a version would be obeyed in part only, so it is refused."""
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
    from modelcast.cli.registry_views import read_log

    log, _ = read_log(origin_registry(load()), wanted.model)
    return wanted.model, log.resolve(wanted).version


def _where(regions: Sequence[str]) -> str:
    return f"in {', '.join(regions)}" if regions else "in all regions"


def _last_consistent(settings: "Settings", model: str) -> int | None:
    from modelcast.cli.state_source import StateSource

    try:
        seen = StateSource(settings).model(model)
    except ModelcastError:
        say("the tracker's word can't be read: going by the log")
        return None
    return seen.state.last_consistent_version if seen else None
