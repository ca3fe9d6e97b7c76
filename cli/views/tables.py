"""States as tables, worst first, in the words of the dashboard: for ``get``, ``describe`` and the demo. Pure."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from rich.console import Console, ConsoleOptions, RenderableType
from rich.text import Text

from modelcast.cli.console import TextTable, size_of
from modelcast.cli.views.holds import held_line, reported_holds
from modelcast.cli.views.state_source import Sighting
from modelcast.schemas.quantities import duration, size
from modelcast.schemas.records import PodReport, RegionState, VersionState
from modelcast.schemas.states import PodState, State
from modelcast.schemas.statuses import BEHIND, LOOKS, Limits, Status, count_serving, count_statuses, rank
from modelcast.schemas.text.printable import one_line

if TYPE_CHECKING:
    from modelcast.dashboard.view.pairs import ModelView, Pair

_STYLE = {
    Status.ALARM: "bold red",
    Status.SILENT: "bold red",
    Status.REFUSED: "bold red",
    Status.FAILED: "red",
    Status.STALLED: "bold yellow",
    Status.LATE: "bold yellow",
    Status.LAG: "yellow",
    Status.HELD: "blue",
    Status.OK: "green",
}
RegionLine: TypeAlias = "tuple[str, int, str, float | None, bool, Mapping[str, Pair], int | None, float]"
"""(name, workers, newest software, seconds since it was heard, whether it is silent, its pair with each model, free
disk, longest lag)."""
USUAL = Limits()
_AHEAD_OF = (State.STAGED, State.LOADING, State.SERVING)
FULL_COLUMNS_MIN = 80
FETCHES_COLUMNS_MIN = 60
PODS_COLUMNS_MIN = 120
_POD_BADNESS = (PodState.UNREACHABLE, PodState.FAILED, PodState.PENDING, PodState.LOADING, PodState.SERVING)


def view_of(state: VersionState, at_us: int | None = None, limits: Limits = USUAL) -> "ModelView":
    """A model in words, at ``at_us`` by the tracker's clock (None: when it was said): as the dashboard has it."""
    from modelcast.dashboard.view.overview import Overview

    now_us = state.updated_at_us if at_us is None else at_us
    overview = Overview(limits)
    overview.take(state, now_us, now_us, "")
    return overview.models[state.model]


def _badness(pair: "Pair") -> tuple[int, int]:
    """Sorts worst first."""
    return rank(pair.status), pair.since_us or 1 << 62


def models_table(sightings: Iterable[Sighting], limits: Limits = USUAL) -> RenderableType:
    """One line a model, the worst first; in a narrow terminal fewer columns."""
    full = TextTable("MODEL", "LATEST", "CONSISTENT", "REGIONS", "STATUS", "LAG", "SKEW", "UPDATED", "HELD", box=None)
    fewer, lines = _table("MODEL", "CONSISTENT", "REGIONS", "STATUS"), _table()
    views = [(seen, view_of(seen.state, seen.at_us, limits)) for seen in sightings]
    for seen, view in sorted(views, key=lambda each: _model_badness(*each)):
        state = seen.state
        serving = f"{view.serving}/{view.counted}"
        worst = _worst_text(view)
        consistent, lag_seconds = _version(view.consistent_version), state.lag_seconds_max(seen.at_us)
        full.add_row(
            state.model,
            _version(state.latest_version),
            consistent,
            serving,
            worst,
            duration(lag_seconds) if lag_seconds else "-",
            str(state.skew),
            f"{duration(seen.age_seconds)} ago",
            _held(state),
        )
        fewer.add_row(state.model, consistent, serving, worst)
        lines.add_row(Text.assemble(f"{state.model}: {serving} regions, ", worst))
    return Fitting((full, fewer, lines), FULL_COLUMNS_MIN)


def _model_badness(seen: Sighting, view: "ModelView") -> tuple[int, float, str]:
    return rank(view.status), -seen.state.lag_seconds_max(seen.at_us), seen.state.model


def model_table(state: VersionState, at_us: int | None = None, limits: Limits = USUAL) -> RenderableType:
    """One line a region, worst first; statuses and lags are as at ``at_us`` (None: when it was said).

    ``notes`` has the rest. In a narrow terminal what fits: fewer columns, or a few words a region.
    """
    full = _table("REGION", "STATUS", "ASPIRED", "STAGED", "SERVED", "PODS", "LAG", "MOVED", "SAVED")
    fewer = _table("REGION", "STATUS", "SERVED", "LAG")
    lines = _table()
    for pair in _worst_first(view_of(state, at_us, limits)):
        row = pair.row
        lag_seconds = row.lag_seconds(state.updated_at_us if at_us is None else at_us)
        lag = duration(lag_seconds) if lag_seconds else "-"
        served = _version(row.served_version)
        full.add_row(
            row.region,
            pair_text(pair),
            _version(row.aspired_version),
            _version(row.staged_version),
            served,
            f"{row.pods_serving}/{row.pods_expected}",
            lag,
            size(row.bytes_moved) if row.bytes_moved else "-",
            size(row.bytes_saved) if row.bytes_saved else "-",
        )
        fewer.add_row(row.region, pair_text(pair), served, lag)
        lines.add_row(
            Text.assemble(f"{row.region}: ", (pair.status.value, style_of(pair.status)), f", serves {served}")
        )
    return Fitting((full, fewer, lines), FULL_COLUMNS_MIN)


def notes(state: VersionState, at_us: int | None = None, limits: Limits = USUAL) -> list[Text]:
    """Why regions are as they are at ``at_us`` (None: when it was said), and how their bytes came.

    Regions with equal notes share a line.
    """
    now_us = state.updated_at_us if at_us is None else at_us
    lines: dict[tuple[str, Status], list[str]] = {}
    for pair in _worst_first(view_of(state, now_us, limits)):
        lines.setdefault((note(pair.row, now_us), pair.status), []).append(pair.row.region)
    return [
        Text(one_line(f"{', '.join(who)}: {worst}"), style=_STYLE.get(status, ""))
        for (worst, status), who in lines.items()
        if worst
    ]


def _worst_first(view: "ModelView") -> "list[Pair]":
    return sorted(view.pairs.values(), key=lambda pair: (*_badness(pair), pair.row.region))


def is_fetching(row: RegionState) -> bool:
    """Whether the region is fetching and has reported how much, or how; perhaps ahead of what it serves.

    Nothing is planned over the long link where all of it comes from the region's own bucket.
    """
    ahead = row.state in _AHEAD_OF and row.bytes_moved < row.bytes_planned
    reported = row.bytes_planned > 0 or bool(row.way)
    return (row.state is State.FETCHING or ahead) and reported and not row.silent


def seconds_left(row: RegionState) -> float:
    """Until the last byte has crossed the long link, at the pace of the last few seconds; infinite: nothing comes."""
    left = max(0, row.bytes_planned - row.bytes_moved)
    if not left:
        return 0.0
    return left / row.bytes_per_second if row.bytes_per_second > 0 else math.inf


def fetches_table(rows: Iterable[tuple[str, RegionState]]) -> RenderableType | None:
    """One line a fetch under way, the one that ends last first: (what to call it, row). None: nothing is on its way.

    Bytes and rate are those over the long link; a fetch that needs none of it has its way only.
    """
    under_way = sorted((each for each in rows if is_fetching(each[1])), key=lambda e: (-seconds_left(e[1]), e[0]))
    if not under_way:
        return None
    full, lines = _table("FETCHING", "BYTES", "RATE", "LEFT", "WAY"), _table()
    for name, row in under_way:
        if not row.bytes_planned:
            full.add_row(name, "-", "-", "-", row.way)
            lines.add_row(f"{name}: {row.way}")
            continue
        left = seconds_left(row)
        done, until = size_of(row.bytes_moved, row.bytes_planned), duration(left) if left < math.inf else "stands"
        full.add_row(name, done, f"{size(row.bytes_per_second)}/s", until, row.way)
        lines.add_row(f"{name}: {done}, {until}" + (" left" if left < math.inf else ""))
    return Fitting((full, lines), FETCHES_COLUMNS_MIN)


def regions_table(rows: Sequence[RegionLine]) -> RenderableType:
    """One line a region; in a narrow terminal fewer columns."""
    fewer, lines = _table("REGION", "HEARD", "SERVING"), _table()
    table = TextTable("REGION", "WORKERS", "HEARD", "MODELS SERVING", "LAG", "DISK FREE", "SOFTWARE", "HELD", box=None)

    def badness(row: RegionLine) -> tuple[float, float]:
        behind = sum(p.counted and not LOOKS[p.status].serves_aspired for p in row[5].values())
        return (float("inf") if row[3] is None else row[3] if row[4] else 0.0, behind)

    for name, workers, software, heard, silent, models, free, lag in sorted(
        rows, key=lambda r: (badness(r), r[0]), reverse=True
    ):
        statuses = count_statuses((pair.row, pair.status) for pair in models.values())
        last = Text("never" if heard is None else f"{duration(heard)} ago", style="bold red" if silent else "")
        serving = f"{0 if silent else count_serving(statuses)}/{sum(statuses.values())}"
        fewer.add_row(name, last, serving)
        lines.add_row(Text.assemble(f"{name}: {serving}, heard ", last))
        table.add_row(
            name,
            str(workers),
            last,
            serving,
            duration(lag) if lag else "-",
            size(free) if free is not None else "-",
            software,
            Text(
                "; ".join(f"{name} {worst}" for name, pair in models.items() if (worst := held_line(pair.row))) or "-"
            ),
        )
    return Fitting((table, fewer, lines), FULL_COLUMNS_MIN)


def pods_table(rows: Sequence[tuple[str, str, PodReport]], now_us: int) -> RenderableType:
    """One line a pod and model: (region, model, report); in a narrow terminal without where the pods stand."""
    names = ("POD", "REGION", "MODEL", "STATE", "VERSION", "GENERATION", "READ")
    table = TextTable(*names, "KIND", "FLEET", "ZONE", "NOTE", box=None)
    fewer = TextTable(*names, "NOTE", box=None)
    ordered = sorted(rows, key=lambda r: (_POD_BADNESS.index(r[2].state), r[0], r[2].pod, r[1]))
    for region, model, pod in ordered:
        style = "green" if pod.state is PodState.SERVING else "red" if pod.error else ""
        cells = (
            pod.pod,
            region,
            model,
            Text(pod.state.value, style=style),
            _version(pod.version),
            str(pod.generation or "-"),
            f"{duration((now_us - pod.read_at_us) / 1e6)} ago" if pod.read_at_us else "-",
        )
        table.add_row(*cells, pod.kind or "-", pod.fleet or "-", pod.zone or "-", pod.error)
        fewer.add_row(*cells, pod.error)
    return Fitting((table, fewer), PODS_COLUMNS_MIN)


def pair_text(pair: "Pair") -> Text:
    """A pair's status, coloured; of one that is behind, also what it is doing."""
    doing = f" {pair.row.state.lower()}" if pair.status in BEHIND and pair.row.state is not None else ""
    return Text(pair.status.value + (doing if pair.status is not Status.FAILED else ""), style=style_of(pair.status))


def style_of(status: Status) -> str:
    """How a status is coloured."""
    return _STYLE.get(status, "dim")


def _worst_text(view: "ModelView") -> Text:
    counted = [pair for pair in view.pairs.values() if pair.counted]
    if view.status is Status.ALARM or not counted:
        return Text(view.status.value, style=style_of(view.status))
    return pair_text(min(counted, key=_badness))


def note(row: RegionState, now_us: int) -> str:
    """Why a region is as it is, at ``now_us``."""
    parts = [f"left out: {row.left_out}"] if row.left_out else []
    if (row.silent or row.unread) and row.reported_version is not None:
        known_us = row.heard_at_us if row.silent else row.read_at_us
        parts.append(f"served {row.reported_version} when {_last(row)}, {duration((now_us - known_us) / 1e6)} ago")
    if row.refused_version is not None:
        parts.append(f"refuses {row.refused_version}")
    if row.error:
        parts.append(error_of(row, now_us))
    if row.rollover:
        parts.append(row.rollover)
    elif not row.error and row.way and row.bytes_total and not is_fetching(row):
        parts.append(row.way)
    return "; ".join(parts)


def _last(row: RegionState) -> str:
    """What happened last to a region that is not known now."""
    return "last reported" if row.silent else "its pods were last read back"


def error_of(row: RegionState, now_us: int) -> str:
    """A region's error. One about an earlier generation tells that and its age: the region has not got further."""
    if not 0 < row.error_generation < row.aspired_generation:
        return row.error
    return f"{row.error} (generation {row.error_generation}, {duration((now_us - row.reported_at_us) / 1e6)} ago)"


def _held(state: VersionState) -> Text:
    """What holds its regions; which they are is left out where it holds them all."""
    ways = {held_line(row) for row in state.regions}
    return Text(ways.pop() if len(ways) == 1 else "; ".join(reported_holds(state))) if any(ways) else Text("-")


@dataclass(frozen=True, slots=True)
class Fitting:
    """Shows the first of ``choices`` that the terminal is wide enough for, else the last.

    Attributes:
        columns_enough: with so many the first is shown even if it must wrap.
    """

    choices: tuple[TextTable, ...]
    columns_enough: int

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[TextTable]:
        if options.max_width >= self.columns_enough:
            yield self.choices[0]
            return
        unbounded = options.update(width=10_000)
        fits = (c for c in self.choices if c.__rich_measure__(console, unbounded).maximum <= options.max_width)
        yield next(fits, self.choices[-1])


def _table(*columns: str) -> TextTable:
    """One that stays readable at 80 columns."""
    return TextTable(*columns, box=None, padding=(0, 1, 0, 0), pad_edge=False, show_header=bool(columns))


def _version(version: int | None) -> str:
    return str(version) if version is not None else "-"
