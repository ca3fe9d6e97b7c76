"""``modelcast rollout``: a new version earns its traffic bit by bit, and leaves it by itself when it harms."""

import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from modelcast.cli.commands import rollout_views
from modelcast.cli.configured import load, warnings_only
from modelcast.cli.console import Format, TextTable, emit, out, say
from modelcast.cli.options import DryRun, Output, Reason, Yes, confirm, instant_ahead, seconds_of
from modelcast.schemas.errors import NotConverged, RolledBack, UsageError
from modelcast.schemas.log.verbs import RULES
from modelcast.schemas.names import Reference, check_model
from modelcast.schemas.quantities import duration, utc_text
from modelcast.schemas.records import CommandKind, ModelCommand

if TYPE_CHECKING:
    from modelcast.infra.settings import Settings
    from modelcast.producers.rollouts import RolloutCommander
    from modelcast.schemas.evidence.forecast import Forecast, Wait
    from modelcast.schemas.traffic.steps_and_gates import RolloutPlan

WAIT_STEP_SECONDS = 1.0
Model = Annotated[str, typer.Argument(help="The model, as in fraud.")]
Say = Callable[["RolloutCommander", str, str], ModelCommand | None]

rollout = typer.Typer(
    no_args_is_help=True, help="Let a new version earn its traffic; it leaves by itself when it harms."
)


def register(app: typer.Typer) -> None:
    """Add ``rollout`` to the command line."""
    rollout_views.register(rollout)
    for kind, name, say_it in _WORDS:
        rollout.command(name, help=RULES[kind].help)(_word(kind, say_it))
    app.add_typer(rollout, name="rollout")


@rollout.command(help=RULES[CommandKind.ROLLOUT_START].help)
def start(
    version: Annotated[str, typer.Argument(help="The candidate, as in fraud/8.")],
    strategy: Annotated[
        str,
        typer.Option(
            "--strategy", help="canary, gradual, blue-green, shadow, ab or bandit. Without it, as set, or canary."
        ),
    ] = "",
    steps: Annotated[
        str, typer.Option("--steps", help="Shares in per cent: 1,10,50,100; 10@1h lasts, 50! needs proof.")
    ] = "",
    gate: Annotated[
        list[str] | None,
        typer.Option("--gate", help="errors=1.5x, p99=1.2x, scores<=10%, outcome:ctr>=-1%: what is tolerated."),
    ] = None,
    waves: Annotated[
        str, typer.Option("--waves", help="Regions one after the other: 'eu;us,ap'. Others come last.")
    ] = "",
    standby: Annotated[str, typer.Option("--standby", help="Regions that load it, and send it nothing: 'ap'.")] = "",
    key: Annotated[
        str, typer.Option("--key", help="header:NAME or field:NAME: one user, one version. Without it, at random.")
    ] = "",
    bake: Annotated[str | None, typer.Option("--bake", help="How long the old version stays loaded after it.")] = None,
    deadline: Annotated[str | None, typer.Option("--deadline", help="It is aborted if it takes longer.")] = None,
    at: Annotated[
        str, typer.Option("--at", help="blue-green: when all regions switch, as in 2026-12-01T09:30Z, 09:30 or 10m.")
    ] = "",
    requests_per_second: Annotated[
        float | None, typer.Option("--requests-per-second", help="With --dry-run: for the forecast.")
    ] = None,
    error_rate: Annotated[
        str, typer.Option("--error-rate", help="With --dry-run: of the version that serves now.")
    ] = "0.1%",
    wait: Annotated[bool, typer.Option("--wait", help="Until it is promoted (or rolled back: exit code 8).")] = False,
    timeout: Annotated[str, typer.Option("--timeout", help="With --wait: how long, as in 30m, 12h.")] = "12h",
    reason: Reason = "",
    yes: Yes = False,
    dry_run: DryRun = False,
    output: Output = Format.table,
) -> None:
    wanted = Reference.parse(version)
    if wanted.version is None:
        raise UsageError(f"{version!r} names no version", hint=f"write {wanted.model}/NUMBER")
    from modelcast.producers.planning.rollout_plan import rollout_plan_of
    from modelcast.producers.rollouts import RolloutCommander

    settings, seconds = load(), seconds_of(timeout)
    own = settings.model(wanted.model)
    plan = rollout_plan_of(
        strategy or own.rollout or "canary",
        steps=steps or own.steps,
        gates=gate or (),
        reference=_reference(settings, wanted.model, wanted.version, gate or ()),
        waves=waves or own.waves,
        standby=standby,
        key=key or own.key,
        bake_seconds=seconds_of(bake) if bake is not None else None,
        deadline_seconds=seconds_of(deadline) if deadline is not None else None,
        switch_at_us=instant_ahead(at, datetime.now(UTC).astimezone()) if at else 0,
    )
    _check_regions(settings, plan)
    if plan.switch_at_us > (time.time() + plan.deadline_seconds) * 1e6:
        hint = "give it a later --deadline, or an earlier --at"
        raise UsageError(
            f"it would be aborted {duration(plan.deadline_seconds)} after its start, before --at", hint=hint
        )
    warnings_only()
    if dry_run:
        _show_forecast(plan, requests_per_second, error_rate, output)
    else:
        confirm(RULES[CommandKind.ROLLOUT_START].question.format(model=wanted.model, version=wanted.version), yes=yes)
    with RolloutCommander(settings, dry_run=dry_run) as commander:
        command = commander.start(wanted.model, wanted.version, plan, reason=reason)
    assert command is not None
    would = "would be started" if dry_run else "is started"
    shares = ", ".join(f"{step.share / 100:g} %" for step in plan.steps)
    text = f"{wanted}: rollout {command.rollout} {would}: {plan.strategy}, {shares}; generation {command.generation}"
    emit(command, output, Text(text))
    if wait and not dry_run:
        await_end(settings, wanted.model, command.rollout, seconds)


def await_end(settings: "Settings", model: str, rollout_id: str, timeout_seconds: float) -> None:
    """Return once a rollout is promoted. Goes by the log alone.

    Raises:
        RolledBack: it ended otherwise.
        NotConverged: it did not end in time.
    """
    from modelcast.cli.configured import origin_registry
    from modelcast.schemas.traffic.grant import RolloutPhase

    reader, deadline, log = origin_registry(settings), time.monotonic() + timeout_seconds, None
    while True:
        log = reader.tail(model, log).log
        found = log.rollout
        if found is None or found.id != rollout_id:
            raise RolledBack("another rollout has taken its place", subject=f"{model} rollout {rollout_id}")
        if found.phase is RolloutPhase.PROMOTED:
            say(f"{model}/{found.candidate}: promoted")
            return
        if not found.active:
            hint = f"modelcast rollout explain {model}"
            raise RolledBack(f"{found.phase.lower()}: {found.reason}", subject=f"{model}/{found.candidate}", hint=hint)
        if time.monotonic() > deadline:
            hint = f"modelcast rollout get {model}"
            raise NotConverged(
                f"not over after {duration(timeout_seconds)}", subject=f"{model}/{found.candidate}", hint=hint
            )
        time.sleep(WAIT_STEP_SECONDS)


def _reference(settings: "Settings", model: str, version: int, gates: Iterable[str]) -> tuple[int, ...]:
    """The scores that the version brings along, where a gate compares with them."""
    if not any(gate.strip().startswith("drift") for gate in gates):
        return ()
    from modelcast.cli.configured import origin_registry
    from modelcast.cli.reference_scores import read_reference

    reader = origin_registry(settings)
    return read_reference(reader.store, reader.tail(model, None).log, version)


def _check_regions(settings: "Settings", plan: "RolloutPlan") -> None:
    """Refuse regions that the settings do not list: they would be waited for in vain."""
    named = {region for wave in plan.waves for region in wave} | set(plan.standby)
    unknown = sorted(named - settings.regions.keys()) if settings.regions else []
    if unknown:
        known = ", ".join(sorted(settings.regions))
        raise UsageError(f"the settings list no region {', '.join(unknown)}", hint=f"known: {known}")


def _show_forecast(plan: "RolloutPlan", requests_per_second: float | None, error_rate: str, output: Format) -> None:
    from modelcast.schemas.evidence.counts import SHARES
    from modelcast.schemas.evidence.forecast import forecast as forecast_of
    from modelcast.schemas.evidence.forecast import sentence
    from modelcast.schemas.evidence.prediction_forecast import forecast_predictions, prediction_sentence
    from modelcast.schemas.traffic.steps_and_gates import Strategy

    if output is not Format.table:
        return
    if requests_per_second is None:
        say("note: with --requests-per-second and --error-rate it is said how long each step needs to show harm")
        return
    errors = _fraction(error_rate, "--error-rate")
    for share in dict.fromkeys(step.share for step in plan.steps):
        if 0 < share < SHARES:
            found = forecast_of(requests_per_second, errors, share / SHARES, plan=plan.gates)
            out.print(sentence(found))
            for gate in forecast_predictions(requests_per_second, share / SHARES, plan.gates):
                out.print(f"  {prediction_sentence(gate)}")
    if plan.strategy is Strategy.SHADOW:
        for gate in forecast_predictions(requests_per_second, None, plan.gates):
            out.print(prediction_sentence(gate))


def _word(kind: CommandKind, say_it: Say) -> Callable[..., None]:
    """The command of a word about the rollout under way."""

    def command(
        model: Model, reason: Reason = "", yes: Yes = False, dry_run: DryRun = False, output: Output = Format.table
    ) -> None:
        from modelcast.producers.rollouts import RolloutCommander

        name = check_model(model)
        if not reason.strip():
            raise UsageError("it needs --reason", subject=name, hint="it stands in the model's history")
        warnings_only()
        if not dry_run:
            confirm(RULES[kind].question.format(model=name, version="the candidate"), yes=yes)
        with RolloutCommander(load(), dry_run=dry_run) as commander:
            entry = say_it(commander, name, reason)
        assert entry is not None
        verb = kind.lower().replace("_", " ")
        done = "would be" if dry_run else "is"
        emit(entry, output, Text(f"{name}: {verb} {done} generation {entry.generation}"))

    return command


_WORDS: tuple[tuple[CommandKind, str, Say], ...] = (
    (CommandKind.ROLLOUT_HOLD, "hold", lambda c, model, reason: c.hold(model, reason=reason)),
    (CommandKind.ROLLOUT_RESUME, "resume", lambda c, model, reason: c.go_on(model, reason=reason)),
    (CommandKind.ROLLOUT_ABORT, "abort", lambda c, model, reason: c.abort(model, reason=reason)),
    (CommandKind.ROLLOUT_PROMOTE, "promote", lambda c, model, reason: c.promote(model, reason=reason)),
    (CommandKind.ROLLOUT_STEP, "skip", lambda c, model, reason: c.skip(model, reason=reason)),
)


@rollout.command()
def switch(
    model: Model,
    at: Annotated[
        str, typer.Option("--at", help="When, as in 2026-12-01T09:30Z, 09:30 or 10m (from now).", show_default=False)
    ],
    reason: Reason = "",
    yes: Yes = False,
    dry_run: DryRun = False,
    output: Output = Format.table,
) -> None:
    """Let all regions take the next step of the rollout under way at one instant. Every pod must be ready for it."""
    from modelcast.producers.rollouts import RolloutCommander

    name, at_us = check_model(model), instant_ahead(at, datetime.now(UTC).astimezone())
    if not reason.strip():
        raise UsageError("it needs --reason", subject=name, hint="it stands in the model's history")
    warnings_only()
    if not dry_run:
        confirm(f"Let all regions take the next step of the rollout of {name} at {utc_text(at_us)}?", yes=yes)
    with RolloutCommander(load(), dry_run=dry_run) as commander:
        entry = commander.switch(name, at_us=at_us, reason=reason)
    assert entry is not None
    shares = ", ".join(f"{target.region or 'everywhere'} {(target.share or 0) / 100:g} %" for target in entry.targets)
    would = "would take" if dry_run else "take"
    emit(entry, output, Text(f"{name}: all pods {would} {shares} at {utc_text(at_us)}; generation {entry.generation}"))


@rollout.command()
def forecast(
    requests_per_second: Annotated[
        float,
        typer.Option(
            "--requests-per-second", help="Requests per second of both versions together.", show_default=False
        ),
    ],
    error_rate: Annotated[
        str, typer.Option("--error-rate", help="Of the version that serves now: 0.5% or 0.005.", show_default=False)
    ],
    share: Annotated[
        list[str] | None,
        typer.Option("--share", help="Of the candidate: 1% or 0.01 (several times). Default: 1, 10 and 50 %."),
    ] = None,
    output: Output = Format.table,
) -> None:
    """How long until a candidate is shown to be harmful or harmless, by steady traffic. Reads and changes nothing."""
    from modelcast.schemas.evidence.forecast import forecast as forecast_of
    from modelcast.schemas.evidence.forecast import sentence

    errors = _fraction(error_rate, "--error-rate")
    shares = [_fraction(each, "--share") for each in share or ["1%", "10%", "50%"]]
    found = [forecast_of(requests_per_second, errors, each) for each in shares]
    emit(found, output, _table(found))
    if output is Format.table:
        for each in found:
            out.print(sentence(each))


def _table(found: "list[Forecast]") -> TextTable:
    shown = [f"{wait.ratio:g}x SHOWN HARMFUL IN" for wait in found[0].harmful]
    limit = f"< {found[0].harmless.ratio:g}x PROVEN IN"
    table = TextTable("SHARE", *shown, limit, box=None, caption="median (nine of ten)", caption_justify="left")
    for each in found:
        waits = [*each.harmful, each.harmless]
        table.add_row(f"{100 * each.share:g} %", *(_wait_text(wait) for wait in waits))
    return table


def _wait_text(wait: "Wait") -> str:
    if wait.median_seconds is None:
        return "-"
    late = duration(wait.nine_of_ten_seconds) if wait.nine_of_ten_seconds is not None else "more"
    return f"{duration(wait.median_seconds)} ({late})"


def _fraction(text: str, option: str) -> float:
    """``0.5%`` or ``0.005``.

    Raises:
        UsageError: it is neither.
    """
    number = text.strip().removesuffix("%")
    try:
        value = float(number)
    except ValueError:
        raise UsageError(f"bad {option} {text!r}", hint="write 0.5% or 0.005") from None
    return value / 100 if text.strip().endswith("%") else value
