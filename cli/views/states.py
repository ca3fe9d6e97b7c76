"""``modelcast get | describe | wait``: who serves what."""

import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer
from rich.console import Group, RenderableType
from rich.text import Text

from modelcast.cli.configured import load, origin_registry
from modelcast.cli.console import Format, TextTable, emit, out, plain, say
from modelcast.cli.options import Output, Watch, seconds_of
from modelcast.cli.views import tables
from modelcast.cli.views.hold_source import HoldSource
from modelcast.cli.views.state_source import Sighting, StateSource
from modelcast.schemas.errors import NotFound, UsageError
from modelcast.schemas.names import Reference, check_model
from modelcast.schemas.quantities import duration
from modelcast.schemas.records import RegionState
from modelcast.schemas.states import BEHIND_SECONDS, STALE_SECONDS, State
from modelcast.schemas.statuses import Limits
from modelcast.schemas.text.printable import one_line

if TYPE_CHECKING:
    from modelcast.dashboard.view.pairs import Pair
    from modelcast.infra.settings import Settings
    from modelcast.producers.planning.convergence import Level

WATCH_SECONDS = 1.0
View = tuple[Any, RenderableType]


def register(app: typer.Typer) -> None:
    """Add these commands to the command line."""
    app.command()(get)
    app.command()(describe)
    app.command()(wait)


def get(
    what: Annotated[str, typer.Argument(help="models, regions, pods, or a model's name.")] = "models",
    watch: Watch = False,
    output: Output = Format.table,
) -> None:
    """Who serves what, worst first. Says how old the answer is, also when the tracker is gone.

    A model's candidate is told to people; programs ask `modelcast rollout get MODEL -o json`.
    """
    settings = load()
    makers: dict[str, Callable[[Settings], View]] = {"models": _models, "regions": _regions, "pods": _pods}
    name = what if what in makers else _bare(what)
    held = HoldSource(settings) if output is Format.table else None
    make = makers.get(what) or (lambda s: _model(s, name, held))
    if not watch:
        emit(*_in(make(settings), output))
        return
    from rich.live import Live

    try:
        if output is not Format.table or not out.is_terminal:
            _follow(lambda: make(settings), output)
        with Live(console=out, auto_refresh=False, screen=False) as live:
            while True:
                live.update(make(settings)[1], refresh=True)
                time.sleep(WATCH_SECONDS)
    except KeyboardInterrupt:
        return


def _bare(what: str) -> str:
    """The model that is asked for. A version would be left out of the answer, so it is refused."""
    wanted = Reference.parse(what)
    if str(wanted) != wanted.model:
        hint = f"modelcast get {wanted.model}, or modelcast describe {wanted} for where that version is"
        raise UsageError(f"{what!r} names more than a model", hint=hint)
    return wanted.model


def _in(view: View, output: Format) -> tuple[Any, Format, RenderableType]:
    return view[0], output, view[1]


def _follow(make: Callable[[], View], output: Format) -> None:
    """For programs: the data again whenever it changed."""
    last: Any = None
    while True:
        data, table = make()
        seen = _without_ages(plain(data))
        if seen != last:
            emit(data, output, table)
            last = seen
        time.sleep(WATCH_SECONDS)


def _without_ages(value: Any) -> Any:
    drifting = {"age_seconds", "behind_seconds", "as_of_us", "updated_at_us", "heard_at_us", "reported_at_us"}
    if isinstance(value, dict):
        return {k: _without_ages(v) for k, v in value.items() if k not in drifting | {"read_at_us"}}
    return [_without_ages(v) for v in value] if isinstance(value, list) else value


def _models(settings: "Settings") -> View:
    source = StateSource(settings)
    found = source.models()
    limits = limits_of(settings)
    verdict = [_verdict(found, limits)] if found else []
    table = Group(*verdict, tables.models_table(found, limits), *_fetches(found), *_remarks(source, found))
    return [_in_words(seen, limits) for seen in found], table


def limits_of(settings: "Settings") -> Limits:
    """When statuses turn worse: as the dashboard has it."""
    return Limits(late_seconds=settings.dashboard.late_seconds)


def _in_words(seen: Sighting, limits: Limits) -> dict[str, Any]:
    """A sighting as programs get it: with the model's status, and that of each region."""
    view = tables.view_of(seen.state, seen.at_us, limits)
    statuses = {region: pair.status.value for region, pair in sorted(view.pairs.items())}
    return {"status": view.status.value, "statuses": statuses, **plain(seen)}


def _verdict(found: list[Sighting], limits: Limits) -> Text:
    """The head of the dashboard's page, in one line."""
    from modelcast.dashboard.view.overview import Overview
    from modelcast.dashboard.view.problems import problems
    from modelcast.dashboard.view.verdict import overview_verdict

    now_us, overview = time.time_ns() // 1000, Overview(limits)
    for seen in found:
        overview.take(seen.state, now_us - int(seen.reported_seconds_ago * 1_000_000), seen.at_us, seen.source)
    verdict = overview_verdict(overview, problems(overview, now_us), of_pairs=True)
    reported = " · ".join([f"{verdict.label}: {verdict.sentence}", *verdict.notes])
    return Text(one_line(reported), style=tables.style_of(verdict.status))


def _model(settings: "Settings", name: str, held: HoldSource | None) -> View:
    source = StateSource(settings)
    seen = _sighting(source, settings, name)
    state = seen.state
    limits = limits_of(settings)
    view = tables.view_of(state, seen.at_us, limits)
    status, consistent = view.status, view.consistent_version
    head = Text.assemble(
        f"{state.model}: ",
        (status.value, tables.style_of(status)),
        f", consistent version {consistent if consistent is not None else 'none'}, "
        f"latest {state.latest_version}, skew {state.skew}, as of {duration(seen.age_seconds)} ago",
    )
    alarm = [Text(f"ALARM: {one_line(state.alarm)}", style="bold red")] if state.alarm else []
    if state.regions_omitted:
        alarm.append(Text(f"{state.regions_omitted} regions are not shown: the state was too large", style="yellow"))
    table = tables.model_table(state, seen.at_us, limits)
    parts = [head, *alarm, table, *_fetches([seen], of_one=True), *tables.notes(state, seen.at_us, limits)]
    holds = [Text(one_line(line), style="yellow") for line in held.lines(state)] if held else []
    return _in_words(seen, limits), Group(*parts, *holds, *_remarks(source, [seen]))


def _fetches(found: list[Sighting], *, of_one: bool = False) -> list[RenderableType]:
    """What is on its way, below what is."""
    rows = ((s.state.model, row) for s in found for row in s.state.regions)
    named = ((row.region if of_one else f"{row.region} {model}", row) for model, row in rows)
    table = tables.fetches_table(named)
    return [Text(""), table] if table is not None else []


def _regions(settings: "Settings") -> View:
    source = StateSource(settings)
    found, beats = source.models(), source.heartbeats()
    rows: dict[str, dict[str, Pair]] = defaultdict(dict)
    for seen in found:
        rows_of = {row.region: row for row in seen.state.regions}
        for region, pair in tables.view_of(seen.state, seen.at_us, limits_of(settings)).pairs.items():
            rows[region][seen.state.model] = replace(pair, row=rows_of[region])
    at_us = {seen.state.model: seen.at_us for seen in found}
    lines, data = [], []
    for name in sorted({*rows, *settings.regions, *(b.region for b, _ in beats)}):
        mine = [(b, a) for b, a in beats if b.region == name]
        newest = min(mine, key=lambda pair: pair[1], default=None)
        alive = [b for b, a in mine if a <= settings.tracker.silent_seconds and not b.draining]
        software = newest[0].software.get("modelcast", "") if newest else ""
        heard, silent = _heard(newest[1] if newest else None, rows[name], at_us, settings.tracker.silent_seconds)
        free = min((b.disk_free_bytes for b in alive), default=None)
        lag = max((pair.row.lag_seconds(at_us[model]) for model, pair in rows[name].items()), default=0.0)
        lines.append((name, len(alive), software, heard, silent, rows[name], free, lag))
        models = [
            {"model": model, "status": pair.status.value, **plain(pair.row)}
            for model, pair in sorted(rows[name].items())
        ]
        data.append({"region": name, "heard_seconds_ago": heard, "workers": [b for b, _ in mine], "models": models})
    return data, Group(tables.regions_table(lines), *_fetches(found), *_remarks(source, found))


def _heard(
    beat_seconds: float | None, pairs: "dict[str, Pair]", at_us: dict[str, int], silent_seconds: float
) -> tuple[float | None, bool]:
    """How long ago a region was heard, and whether it is silent: by its newest heartbeat, else as the tracker said."""
    if beat_seconds is not None:
        return beat_seconds, beat_seconds > silent_seconds
    times = [(at_us[model] - pair.row.heard_at_us) / 1e6 for model, pair in pairs.items() if pair.row.heard_at_us]
    return min(times, default=None), all(pair.row.silent for pair in pairs.values())


def _pods(settings: "Settings") -> View:
    source = StateSource(settings)
    found = source.models()
    rows = [
        (row.region, seen.state.model, pod)
        for seen in found
        for row in seen.state.regions
        for pod in source.pods(seen.state, row.region)
    ]
    data = [{"region": region, "model": model, "pod": pod} for region, model, pod in rows]
    return data, Group(tables.pods_table(rows, time.time_ns() // 1000), *_remarks(source, found))


def _remarks(source: StateSource, found: list[Sighting]) -> list[Text]:
    lines = [Text(one_line(remark), style="yellow") for remark in source.remarks]
    oldest = max((s.reported_seconds_ago for s in found), default=0.0)
    behind = max((s.behind_seconds for s in found), default=0.0)
    if oldest > STALE_SECONDS:
        lines.append(
            Text(f"the tracker last reported {duration(oldest)} ago: this is how things were then", style="bold yellow")
        )
    if behind > BEHIND_SECONDS:
        text = f"the tracker is {duration(behind)} behind: acknowledgements that came since wait to be read"
        lines.append(Text(text, style="bold yellow"))
    if not found:
        lines.append(Text("nothing is known yet: nothing was published, or no tracker runs", style="dim"))
    return lines


def _sighting(source: StateSource, settings: "Settings", name: str) -> Sighting:
    seen = source.model(check_model(name))
    if seen is None:
        raise NotFound("the tracker knows of no such model", subject=name, hint=f"modelcast history {name}")
    return seen


def describe(
    reference: Annotated[str, typer.Argument(help="A model (fraud) or one of its versions (fraud/7).")],
    output: Output = Format.table,
) -> None:
    """Everything about a model, or where one of its versions is."""
    from modelcast.cli.views.registry import inspect

    settings, wanted = load(), Reference.parse(reference)
    if wanted.version is None and wanted.alias is None:
        source = StateSource(settings)
        seen = _sighting(source, settings, wanted.model)
        pods = [(r.region, wanted.model, p) for r in seen.state.regions for p in source.pods(seen.state, r.region)]
        held = HoldSource(settings) if output is Format.table else None
        table = tables.pods_table(pods, time.time_ns() // 1000)
        emit(
            _in_words(seen, limits_of(settings)),
            output,
            Group(_model(settings, wanted.model, held)[1], Text(""), table),
        )
        return
    inspect(reference, output)
    if output is not Format.table:
        return
    version = _version_of(settings, wanted)
    seen = _sighting(StateSource(settings), settings, wanted.model)
    table = TextTable("REGION", "THIS VERSION", "SERVES NOW", box=None)
    for row in seen.state.regions:
        table.add_row(row.region, _where(row, version, seen.state.updated_at_us), str(row.served_version or "-"))
    out.print(Text(f"\nas of {duration(seen.age_seconds)} ago:"))
    out.print(table)


def _version_of(settings: "Settings", wanted: Reference) -> int:
    from modelcast.cli.views.registry import read_log

    log, _ = read_log(origin_registry(settings), wanted.model)
    return log.resolve(wanted).version


def _where(row: RegionState, version: int, now_us: int) -> str:
    if row.served_version == version:
        return "served by every pod"
    on = sum(p.version == version for p in row.pods)
    if on:
        when = " when last reported" if row.silent or row.unread else ""
        return f"served by {on} of {row.pods_expected} pods{when}"
    why = f": {error}" if (error := tables.error_of(row, now_us)) else ""
    if row.refused_version == version:
        return "refused" + why
    if row.aspired_version == version:
        return (row.state or State.ANNOUNCED).value.lower() + why
    return "staged" if row.staged_version == version else "-"


def wait(
    reference: Annotated[str, typer.Argument(help="The version to wait for, as in fraud/7.")],
    level: Annotated[str, typer.Option("--level", help="all, quorum or one: how many regions are enough.")] = "all",
    timeout: Annotated[str, typer.Option("--timeout", help="How long, as in 30s, 5m.")] = "5m",
    staged: Annotated[bool, typer.Option("--staged", help="Wait only until it is staged.")] = False,
    output: Output = Format.table,
) -> None:
    """Wait until regions serve a version. Ends with 3 if not in time, at once with 4 if it is quarantined."""
    from modelcast.producers.log_refusal import LogRefusal
    from modelcast.producers.wait import wait_for

    settings, wanted = load(), Reference.parse(reference)
    seconds = seconds_of(timeout)
    version = wanted.version if wanted.version is not None else _version_of(settings, wanted)
    started = time.monotonic()
    log, reported = LogRefusal(settings, wanted.model, version), False

    def refused() -> str:
        nonlocal reported
        why = log()
        if log.log is not None and version not in log.log.updates and not reported:
            reported = True
            latest = f"{wanted.model}/{log.log.latest_version or 0}"
            say(f"note: {wanted.model}/{version} is not published yet, {latest} is the latest")
        return why

    converged = wait_for(
        settings,
        wanted.model,
        version,
        cast("Level", level),  # wait_for says which there are
        timeout_seconds=seconds,
        staged=staged,
        refused=refused,
        note=say,
    )
    took = time.monotonic() - started
    regions = ", ".join(converged.there)
    data = {"model": wanted.model, "version": version, "regions": converged.there, "seconds": took}
    emit(data, output, Text(f"{wanted.model}/{version}: {regions}"))
    say(f"after {duration(took)}")
