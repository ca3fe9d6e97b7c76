"""States as tables, worst first: used by ``get``, ``describe`` and the demo. Pure."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, RenderableType
from rich.text import Text

from modelcast.cli.console import TextTable, age, size, size_of
from modelcast.cli.views.holds import held_line, told_by
from modelcast.cli.views.state_source import Sighting
from modelcast.schemas.printable import one_line
from modelcast.schemas.records import PodReport, RegionState, VersionState
from modelcast.schemas.states import PodState, State

_BADNESS = {
    State.QUARANTINED: 6,
    State.FAILED: 5,
    None: 4,
    State.ANNOUNCED: 3,
    State.FETCHING: 3,
    State.STAGED: 2,
    State.LOADING: 2,
    State.SUPERSEDED: 1,
    State.SERVING: 0,
}
_STYLE = {State.QUARANTINED: "bold red", State.FAILED: "red", State.SERVING: "green", None: "dim"}
RegionLine = tuple[str, int, str, float | None, Mapping[str, RegionState], int | None, float]
"""(name, workers, newest software, seconds since its heartbeat, its row of each model, free disk, longest lag)."""
_AHEAD_OF = (State.STAGED, State.LOADING, State.SERVING)
FULL_COLUMNS_MIN = 80
FETCHES_COLUMNS_MIN = 60
SILENT_SECONDS = 15
_NOT_BEHIND = -(1 << 62)
_POD_BADNESS = (PodState.UNREACHABLE, PodState.FAILED, PodState.PENDING, PodState.LOADING, PodState.SERVING)


def region_badness(row: RegionState) -> tuple[int, int, int]:
    """Sorts worst last: not known before anything, then by state, then by lag."""
    since = -row.behind_since_us if row.behind_since_us else _NOT_BEHIND
    return (2 * row.silent + row.unread, _BADNESS[row.state], since)


def model_badness(state: VersionState) -> tuple[int, tuple[int, int, int]]:
    """Sorts worst last."""
    worst = max((region_badness(r) for r in state.regions if not r.left_out), default=(0, 4, _NOT_BEHIND))
    return (int(bool(state.alarm)), worst)


def models_table(sightings: Iterable[Sighting]) -> RenderableType:
    """One line a model; in a narrow terminal fewer columns."""
    full = TextTable("MODEL", "LATEST", "CONSISTENT", "REGIONS", "WORST", "LAG", "SKEW", "UPDATED", "HELD", box=None)
    fewer, words = _table("MODEL", "SERVED", "REGIONS", "WORST"), _table()
    for seen in sorted(sightings, key=lambda s: (model_badness(s.state), s.state.model), reverse=True):
        state = seen.state
        counted = [r for r in state.regions if not r.left_out]
        serving = f"{sum(r.serves for r in counted)}/{len(counted) + state.regions_omitted}"
        worst = max(counted, key=region_badness, default=None)
        told = _alarm(state) or (state_text(worst) if worst else Text("-"))
        consistent, lag_seconds = _version(state.consistent_version), state.lag_seconds_max(seen.at_us)
        full.add_row(
            state.model,
            _version(state.latest_version),
            consistent,
            serving,
            told,
            age(lag_seconds) if lag_seconds else "-",
            str(state.skew),
            f"{age(seen.age_seconds)} ago",
            _held(state),
        )
        fewer.add_row(state.model, consistent, serving, told)
        words.add_row(Text.assemble(f"{state.model}: {consistent} in {serving}, ", told))
    return Fitting((full, fewer, words), FULL_COLUMNS_MIN)


def model_table(state: VersionState, at_us: int | None = None) -> RenderableType:
    """One line a region, worst first; lags are as at ``at_us`` (None: when it was said). ``notes`` has the rest.

    In a narrow terminal what fits: fewer columns, or a few words a region.
    """
    full = _table("REGION", "STATE", "ASPIRED", "STAGED", "SERVED", "PODS", "LAG", "MOVED", "SAVED")
    fewer = _table("REGION", "STATE", "SERVED", "LAG")
    words = _table()
    for row in _worst_first(state):
        lag_seconds = row.lag_seconds(state.updated_at_us if at_us is None else at_us)
        lag = age(lag_seconds) if lag_seconds else "-"
        served = _version(row.served_version)
        full.add_row(
            row.region,
            state_text(row),
            _version(row.aspired_version),
            _version(row.staged_version),
            served,
            f"{row.pods_serving}/{row.pods_expected}",
            lag,
            size(row.bytes_moved) if row.bytes_moved else "-",
            size(row.bytes_saved) if row.bytes_saved else "-",
        )
        fewer.add_row(row.region, state_text(row), served, lag)
        words.add_row(Text.assemble(f"{row.region}: ", state_text(row), f", serves {served}"))
    return Fitting((full, fewer, words), FULL_COLUMNS_MIN)


def notes(state: VersionState) -> list[Text]:
    """Why regions are as they are, and how their bytes came; regions with equal notes share a line."""
    lines: dict[tuple[str, State | None], list[str]] = {}
    for row in _worst_first(state):
        lines.setdefault((note(row, state.updated_at_us), row.state), []).append(row.region)
    return [
        Text(one_line(f"{', '.join(who)}: {told}"), style=_STYLE.get(s, "yellow"))
        for (told, s), who in lines.items()
        if told
    ]


def _worst_first(state: VersionState) -> list[RegionState]:
    return sorted(state.regions, key=lambda r: (*(-x for x in region_badness(r)), r.region))


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
    full, words = _table("FETCHING", "BYTES", "RATE", "LEFT", "WAY"), _table()
    for name, row in under_way:
        if not row.bytes_planned:
            full.add_row(name, "-", "-", "-", row.way)
            words.add_row(f"{name}: {row.way}")
            continue
        left = seconds_left(row)
        done, until = size_of(row.bytes_moved, row.bytes_planned), age(left) if left < math.inf else "stands"
        full.add_row(name, done, f"{size(row.bytes_per_second)}/s", until, row.way)
        words.add_row(f"{name}: {done}, {until}" + (" left" if left < math.inf else ""))
    return Fitting((full, words), FETCHES_COLUMNS_MIN)


def regions_table(rows: Sequence[RegionLine]) -> RenderableType:
    """One line a region; in a narrow terminal fewer columns."""
    fewer, words = _table("REGION", "HEARD", "SERVING"), _table()
    table = TextTable("REGION", "WORKERS", "HEARD", "MODELS SERVING", "LAG", "DISK FREE", "SOFTWARE", "HELD", box=None)

    def badness(row: RegionLine) -> tuple[float, float]:
        behind = sum(not r.serves and not r.left_out for r in row[4].values())
        return (float("inf") if row[3] is None else row[3] if row[3] > SILENT_SECONDS else 0.0, behind)

    for name, workers, software, heard, models, free, lag in sorted(
        rows, key=lambda r: (badness(r), r[0]), reverse=True
    ):
        counted = [r for r in models.values() if not r.left_out]
        silent = heard is None or heard > SILENT_SECONDS
        last = Text("never" if heard is None else f"{age(heard)} ago", style="bold red" if silent else "")
        serving = f"{0 if silent else sum(r.serves for r in counted)}/{len(counted)}"
        fewer.add_row(name, last, serving)
        words.add_row(Text.assemble(f"{name}: {serving}, heard ", last))
        table.add_row(
            name,
            str(workers),
            last,
            serving,
            age(lag) if lag else "-",
            size(free) if free is not None else "-",
            software,
            Text("; ".join(f"{name} {told}" for name, row in models.items() if (told := held_line(row))) or "-"),
        )
    return Fitting((table, fewer, words), FULL_COLUMNS_MIN)


def pods_table(rows: Sequence[tuple[str, str, PodReport]], now_us: int) -> TextTable:
    """One line a pod and model: (region, model, report)."""
    table = TextTable("POD", "REGION", "MODEL", "STATE", "VERSION", "GENERATION", "READ", "NOTE", box=None)
    ordered = sorted(rows, key=lambda r: (_POD_BADNESS.index(r[2].state), r[0], r[2].pod, r[1]))
    for region, model, pod in ordered:
        style = "green" if pod.state is PodState.SERVING else "red" if pod.error else ""
        table.add_row(
            pod.pod,
            region,
            model,
            Text(pod.state.value, style=style),
            _version(pod.version),
            str(pod.generation or "-"),
            f"{age((now_us - pod.read_at_us) / 1e6)} ago" if pod.read_at_us else "-",
            pod.error,
        )
    return table


def state_text(row: RegionState) -> Text:
    """A region's state, coloured; one of which nothing is known now is marked as such."""
    text = row.state.value if row.state else "UNKNOWN"
    if row.silent or row.unread:
        return Text(f"{'SILENT' if row.silent else 'UNREAD'} ({text})", style="bold red")
    if row.state is not None and row.aspired_version is not None and not row.pods_expected:
        return Text(f"{text}, NO PODS", style="yellow")
    return Text(text, style=_STYLE.get(row.state, "yellow"))


def note(row: RegionState, now_us: int) -> str:
    """Why a region is as it is, at ``now_us``."""
    parts = [f"left out: {row.left_out}"] if row.left_out else []
    if (row.silent or row.unread) and row.reported_version is not None:
        parts.append(f"served {row.reported_version} when last reported, {age((now_us - row.heard_at_us) / 1e6)} ago")
    if row.refused_version is not None:
        parts.append(f"refuses {row.refused_version}")
    if row.error:
        parts.append(error_of(row, now_us))
    if row.rollover:
        parts.append(row.rollover)
    elif not row.error and row.way and row.bytes_total and not is_fetching(row):
        parts.append(row.way)
    return "; ".join(parts)


def error_of(row: RegionState, now_us: int) -> str:
    """A region's error. One about an earlier generation tells that and its age: the region has not got further."""
    if not 0 < row.error_generation < row.aspired_generation:
        return row.error
    return f"{row.error} (generation {row.error_generation}, {age((now_us - row.reported_at_us) / 1e6)} ago)"


def _held(state: VersionState) -> Text:
    """What holds its regions; which they are is left out where it holds them all."""
    ways = {held_line(row) for row in state.regions}
    return Text(ways.pop() if len(ways) == 1 else "; ".join(told_by(state))) if any(ways) else Text("-")


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


def _alarm(state: VersionState) -> Text | None:
    return Text("ALARM", style="bold red") if state.alarm else None


def _version(version: int | None) -> str:
    return str(version) if version is not None else "-"
