"""``modelcast publish``: what a training job says when it has a new version."""

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from modelcast.cli.configured import load, regions_of, warnings_only
from modelcast.cli.console import Format, emit, err, plain, say
from modelcast.cli.options import DryRun, Output, UnknownRegionOk, pairs_of, seconds_of
from modelcast.cli.options import path as path_of
from modelcast.schemas.digests import short
from modelcast.schemas.errors import NotFound, UsageError
from modelcast.schemas.quantities import size
from modelcast.schemas.records import Activation

if TYPE_CHECKING:
    from rich.progress import TaskID

    from modelcast.infra.settings import Settings
    from modelcast.producers import Addition
    from modelcast.schemas.traffic.steps_and_gates import RolloutPlan


def register(app: typer.Typer) -> None:
    """Add ``publish`` to the command line."""
    app.command()(publish)


def publish(
    model: Annotated[str, typer.Argument(help="The model's name, as in fraud.")],
    path: Annotated[
        Path, typer.Argument(help="A file, or a folder; what its .modelcastignore names is left out.", parser=path_of)
    ],
    version: Annotated[
        int | None, typer.Option("--version", min=1, help="Its number; without it, the next one.")
    ] = None,
    region: Annotated[
        list[str] | None, typer.Option("--region", "-r", help="Only these regions may have it; without it, all.")
    ] = None,
    unknown_region_ok: UnknownRegionOk = False,
    activation: Annotated[
        str, typer.Option("--activation", help="immediate, or staged: fetch now, serve when a command says so.")
    ] = "immediate",
    metric: Annotated[list[str] | None, typer.Option("--metric", help="NAME=NUMBER, as in auc=0.93.")] = None,
    label: Annotated[list[str] | None, typer.Option("--label", help="NAME=VALUE, as in git=4f2c1a.")] = None,
    publisher: Annotated[str, typer.Option("--publisher", help="Who publishes. Without it, user@host.")] = "",
    allow_pickle: Annotated[
        bool, typer.Option("--allow-pickle", help="A pickle runs code where it is loaded.")
    ] = False,
    allow_unknown: Annotated[
        list[str] | None,
        typer.Option("--allow-unknown", help="A file of no known format, or a pattern of such, as in '*.plan'."),
    ] = None,
    deltas: Annotated[
        bool | None, typer.Option("--deltas/--no-deltas", help="Make deltas for what regions hold. Without it, as set.")
    ] = None,
    verify: Annotated[
        bool,
        typer.Option("--verify", help="Read back what the store has of it already, and put right what is damaged."),
    ] = False,
    allow_version_jump: Annotated[
        bool, typer.Option("--allow-version-jump", help="--version may be more than 1,000 above the latest.")
    ] = False,
    rollout: Annotated[
        str,
        typer.Option("--rollout", help="canary, gradual, …: stage it, then let it earn its traffic. See `rollout`."),
    ] = "",
    wait: Annotated[bool, typer.Option("--wait", help="Until regions serve it (staged ones: hold it).")] = False,
    level: Annotated[str, typer.Option("--level", help="With --wait: all, quorum or one.")] = "all",
    timeout: Annotated[str, typer.Option("--timeout", help="With --wait: how long, as in 30s, 5m.")] = "5m",
    dry_run: DryRun = False,
    output: Output = Format.table,
) -> None:
    """Publish a version of a model. Interrupted anywhere and run again, it completes the same publication."""
    from modelcast.producers import Publisher

    _check_bare(model)
    chosen, seconds = _activation(activation), seconds_of(timeout)
    metrics = {name: _number(name, value) for name, value in pairs_of(metric, "metric").items()}
    labels = pairs_of(label, "label")
    if level not in {"all", "quorum", "one"}:
        raise UsageError(f"bad level {level!r}", subject="--level", hint="use all, quorum or one")
    settings = load()
    warnings_only()
    placement = regions_of(settings, region, unknown_ok=unknown_region_ok)
    plan = _plan(settings, model, rollout, chosen)
    if plan is not None:
        chosen = Activation.STAGED
    with Publisher(settings) as publisher_, _Bar() as bar:
        publication = publisher_.publish(
            model, path, version=version, placement=placement, activation=chosen, metrics=metrics, labels=labels,
            publisher=publisher, allow_pickle=allow_pickle, allow_unknown=allow_unknown or (), progress=bar,
            dry_run=dry_run, accelerate=deltas, verify=verify, allow_version_jump=allow_version_jump,
        )  # fmt: skip
        bar.stop()
        for remark in publication.notes:
            say(f"note: {remark}")
        done = "would be published" if dry_run else "published" if publication.created else "already published"
        if dry_run and not publication.created:
            done = "is published already"
        data = plain(publication) | {"outcome": done}
        if not publication.created and publication.additions:
            done += ", added: " + "; ".join(map(str, publication.additions))
        moved = f", {size(publication.uploaded_bytes)} uploaded" if publication.created and not dry_run else ""
        line = (
            f"{publication}: {done} as generation {publication.generation}, "
            f"{size(publication.size_bytes)} in {publication.file_count} file(s){moved}, "
            f"manifest {short(publication.manifest_digest)}"
        )
        if plan is not None:
            line += _start(settings, publication.model, publication.version, plan, seconds, wait=wait, dry_run=dry_run)
        elif wait and not dry_run:
            say(f"{line}; waiting")
            publication.wait(level, seconds, note=say)  # type: ignore[arg-type]  # checked above
            line = f"{publication}: {'staged' if chosen is Activation.STAGED else 'served'} ({level})"
        emit(data, output, Text(line))


def _plan(settings: "Settings", model: str, strategy: str, chosen: Activation) -> "RolloutPlan | None":
    """The plan by which a version is to earn its traffic; None: it is published without one."""
    own = settings.model(model)
    if not strategy and (chosen is not Activation.IMMEDIATE or not own.rollout or not _is_served(settings, model)):
        return None
    strategy = strategy or own.rollout
    from modelcast.producers.planning.rollout_plan import rollout_plan_of

    return rollout_plan_of(strategy, steps=own.steps, waves=own.waves, key=own.key)


def _is_served(settings: "Settings", model: str) -> bool:
    """Whether some version is to be served: the first one has nothing to be compared with."""
    from modelcast.cli.configured import origin_registry

    try:
        log = origin_registry(settings).tail(model).log
    except NotFound:
        return False
    return any(log.aspired_version(region) is not None for region in log.views)


def _start(
    settings: "Settings", model: str, version: int, plan: "RolloutPlan", seconds: float, *, wait: bool, dry_run: bool
) -> str:
    """Start a rollout of what was published; what is to be said of it."""
    from modelcast.cli.commands.rollout import await_end
    from modelcast.producers.rollouts import RolloutCommander

    if dry_run:
        return f"; a {plan.strategy} rollout would be started"
    with RolloutCommander(settings) as commander:
        command = commander.start(model, version, plan)
    assert command is not None
    if wait:
        say(f"{model}/{version}: rollout {command.rollout} is started; waiting")
        await_end(settings, model, command.rollout, seconds)
    return f"; rollout {command.rollout} is started"


def _check_bare(model: str) -> None:
    """Refuse a reference: a publication has no alias, and its number is an option."""
    name, mark, rest = model.replace("@", "/").partition("/")
    if mark and name:
        alias = f"`modelcast alias {name}/NUMBER {rest}` afterwards"
        raise UsageError(
            f"{model!r} names more than a model",
            hint=f"write {name}; " + (alias if "@" in model else f"--version {rest} chooses the number"),
        )


def _activation(text: str) -> Activation:
    try:
        return Activation(text.upper())
    except ValueError:
        raise UsageError(f"bad activation {text!r}", hint="use immediate or staged") from None


def _number(name: str, value: str) -> float:
    try:
        return float(value)
    except ValueError:
        raise UsageError(f"metric {name!r} is {value!r}", hint="write --metric NAME=NUMBER") from None


class _Bar:
    """A ``PublishProgress`` on a terminal; silent elsewhere."""

    def __init__(self) -> None:
        from rich.progress import BarColumn, DownloadColumn, Progress, TransferSpeedColumn

        columns = ("[progress.description]{task.description}", BarColumn(), DownloadColumn(), TransferSpeedColumn())
        self._progress = Progress(*columns, console=err, transient=True, disable=not err.is_terminal)
        self._task: TaskID | None = None
        self._lock = threading.Lock()

    def __enter__(self) -> "_Bar":
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Leave the terminal as it was."""
        self._progress.stop()

    def step(self, name: str, total_bytes: int = 0) -> None:
        """See ``PublishProgress``."""
        with self._lock:
            if self._task is not None:
                self._progress.remove_task(self._task)
            self._task = self._progress.add_task(name, total=total_bytes or None)

    def advance(self, done_bytes: int) -> None:
        """See ``PublishProgress``."""
        with self._lock:
            if self._task is not None:
                self._progress.advance(self._task, done_bytes)

    def added(self, addition: "Addition") -> None:
        """See ``PublishProgress``."""
        say(str(addition))
