"""The two screens: NOW, and MODEL with the regions of one model."""

import time
from collections.abc import Sequence
from datetime import datetime
from typing import ClassVar, Protocol, cast

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import Screen
from textual.widgets import Footer, Input, OptionList, Static
from textual.widgets.option_list import Option

from modelcast.cli.top import sentences, shown
from modelcast.cli.top.feeds import Feed
from modelcast.cli.top.matrix import MatrixView
from modelcast.cli.top.shown import ModelShown, NowShown
from modelcast.dashboard.view.problems import Problem
from modelcast.dashboard.web.rows import PairLine
from modelcast.schemas.quantities import MISSING, duration, number, plural
from modelcast.schemas.statuses import LOOKS, Status
from modelcast.schemas.text.printable import printable

REASON_CHARS_MAX = 200
BADGE_CELLS = 11


class TopState(Protocol):
    """What the app holds for its screens.

    Attributes:
        feed: where what is shown comes from.
        now: what it last told; None: nothing yet.
        away: why it tells nothing now; "": it does.
    """

    feed: Feed
    now: NowShown | None
    away: str


def said(text: str, style: str = "") -> Text:
    """Text that may come from strangers: no markup, no control characters."""
    return Text(printable(text), style=style)


def badged(status: Status, *, old: bool, label: str = "") -> Text:
    """A status with its shape and colour."""
    return Text(f"[{shown.badge(status, old=old, label=label)}]", style=f"bold {LOOKS[status].dark}")


class RowList(OptionList):
    """A list with a cursor that stays on its row while rows come and go."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("j,down", "cursor_down", "next", key_display="j"),
        Binding("k,up", "cursor_up", "last", key_display="k"),
        Binding("enter", "select", "open"),
    ]

    def put(self, rows: Sequence[tuple[str, Text]]) -> None:
        """Show these rows, by id."""
        before = [(option.id, option.prompt) for option in self.options]
        if before == list(rows):
            return
        place = self.highlighted
        held = self.options[place].id if place is not None and place < len(self.options) else None
        self.clear_options()
        self.add_options([Option(text, id=id_) for id_, text in rows])
        ids = [id_ for id_, _ in rows]
        if held in ids:
            self.highlighted = ids.index(held)
        elif rows:
            self.highlighted = min(place or 0, len(rows) - 1)

    @property
    def row(self) -> str:
        """The id of the row under the cursor, or ""."""
        place = self.highlighted
        return "" if place is None or place >= len(self.options) else self.options[place].id or ""


class NowScreen(Screen[None]):
    """What is wrong, worst first, and every pair."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "open", "open"),
        Binding("slash", "find", "find", key_display="/"),
        Binding("c", "copy", "copy command"),
        Binding("escape", "all", "all", show=False),
        Binding("q", "app.quit", "quit"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._part = ""
        self._problems: dict[str, Problem] = {}

    @property
    def top(self) -> "TopState":
        """What the app holds for its screens."""
        return cast("TopState", self.app)

    def compose(self) -> ComposeResult:
        """Lay it out."""
        yield Static(id="fresh")
        yield Static(id="verdict")
        yield RowList(id="problems")
        yield Input(placeholder="a model, a region, a status", id="find")
        yield Static(id="counts")
        yield MatrixView(id="matrix")
        yield Footer()

    def on_mount(self) -> None:
        """Begin."""
        self.query_one("#find").display = False
        self.query_one(RowList).focus()
        self.set_interval(1.0, self.draw)
        self.draw()

    def draw(self) -> None:
        """Show what is known now."""
        now, at = self.top.now, time.monotonic()
        self.query_one("#fresh", Static).update(said(shown.freshness_line(now, at, self.top.away)))
        if now is None:
            return
        old = shown.is_old(now, at)
        self.set_class(old, "old")
        self.query_one("#verdict", Static).update(_verdict(now, at, old=old))
        found = shown.matching(now, self._part)
        self._problems = {problem.id: problem for problem in found}
        us = now.fresh.as_of_us + (0 if old else round((at - now.read_at) * 1_000_000))
        self.query_one(RowList).put([(p.id, _problem(p, us, old=old)) for p in found])
        self.query_one("#counts", Static).update(_counts(now, len(found), old=old))
        self.query_one(MatrixView).show(now.grid, shown.rows_of(now, self._part), old=old)

    def on_option_list_option_selected(self, _event: OptionList.OptionSelected) -> None:
        """Enter in the list."""
        self.action_open()

    def action_open(self) -> None:
        """Open the model under the cursor; of a search without a problem, the first model that it finds."""
        problem = self._problems.get(self.query_one(RowList).row)
        name = shown.target(problem, self._part) if problem else ""
        if not name and self.top.now is not None and self._part:
            name = next((each for each in self.top.now.grid.models if self._part in each), "")
        if name:
            self.app.push_screen(ModelScreen(name))

    def action_copy(self) -> None:
        """Copy the command under the cursor."""
        problem = self._problems.get(self.query_one(RowList).row)
        if problem and problem.command:
            self.app.copy_to_clipboard(printable(problem.command))
            self.notify(said(f"copied: {problem.command}").plain, markup=False)

    def action_find(self) -> None:
        """Ask what to look for."""
        field = self.query_one("#find", Input)
        field.display = True
        field.focus()

    def action_all(self) -> None:
        """Show everything again."""
        field = self.query_one("#find", Input)
        field.value = ""
        field.display = False
        self._part = ""
        self.query_one(RowList).focus()
        self.draw()

    def on_input_changed(self, event: Input.Changed) -> None:
        """Look while it is typed."""
        self._part = event.value.strip()
        self.draw()

    def on_input_submitted(self, _event: Input.Submitted) -> None:
        """Go back to the list of what was found."""
        self.query_one(RowList).focus()


class ModelScreen(Screen[None]):
    """One model in every region."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,backspace", "app.pop_screen", "back"),
        Binding("c", "copy", "copy command"),
        Binding("q", "app.quit", "quit"),
    ]

    def __init__(self, name: str) -> None:
        super().__init__()
        self.model = name
        self._command = ""
        self._found: ModelShown | None = None

    @property
    def top(self) -> "TopState":
        """What the app holds for its screens."""
        return cast("TopState", self.app)

    def compose(self) -> ComposeResult:
        """Lay it out."""
        yield Static(id="fresh")
        yield Static(id="model")
        yield Static(id="why")
        yield RowList(id="regions")
        yield Footer()

    def on_mount(self) -> None:
        """Begin."""
        self.query_one(RowList).focus()
        self.set_interval(1.0, self.look)
        self.look()

    def look(self) -> None:
        """Ask for the model, and show it."""
        self.run_worker(self._look(), exclusive=True)

    async def _look(self) -> None:
        away = self.top.away
        try:
            self._found = await self.top.feed.model(self.model)
        except ConnectionError as error:
            away = away or str(error)  # what was known stays, with its age
        found, now, at = self._found, self.top.now, time.monotonic()
        self.query_one("#fresh", Static).update(said(shown.freshness_line(now, at, away)))
        if found is None or now is None:
            why = f"{self.model}: the tracker knows of no such model"
            self.query_one("#model", Static).update(said("" if away or now is None else why))
            return
        old = shown.is_old(now, at)
        self.set_class(old, "old")
        us = now.fresh.as_of_us + (0 if old else round((at - now.read_at) * 1_000_000))
        self._command = next((p.command for p in found.problems if p.command), f"modelcast describe {self.model}")
        self.query_one("#model", Static).update(_model(found, us, old=old))
        self.query_one("#why", Static).update(_why(found, self._command))
        self.query_one(RowList).put([(row.region, _region(row, us, old=old)) for row in found.regions])

    def action_copy(self) -> None:
        """Copy what to type next."""
        self.app.copy_to_clipboard(printable(self._command))
        self.notify(said(f"copied: {self._command}").plain, markup=False)


def _verdict(now: NowShown, at: float, *, old: bool) -> Text:
    verdict = now.verdict
    as_of = "" if shown.ages_of(now, at).live else f"As of {_clock(now.fresh.as_of_us)}: "
    text = badged(verdict.status, old=old, label=verdict.label) + said(f" {as_of}{verdict.sentence}", "bold")
    for note in (*verdict.notes, *now.fresh.missing):
        text += said(f"\n  {note}")
    return text


def _counts(now: NowShown, found: int, *, old: bool) -> Text:
    parts = [f"{number(count)} {shown.word(Status(status), old=old)}" for status, count in now.verdict.pairs.items()]
    head = [f"{number(found)} of {plural(now.total, 'problem')}"] if now.total else []
    size = f"{plural(now.verdict.models, 'model')} × {plural(now.verdict.regions, 'region')}"
    return said(f"{' · '.join([*head, *parts])}   {size}".strip())


def _since(since_us: int, now_us: int) -> str:
    return duration((now_us - since_us) / 1_000_000) if since_us else MISSING


def _clock(at_us: int) -> str:
    """A moment in the reader's own time."""
    return f"{datetime.fromtimestamp(at_us / 1_000_000).astimezone():%H:%M:%S %Z}" if at_us else ""


def _reason(problem: Problem) -> str:
    when = f" {_clock(problem.since_us)}" if problem.reason and problem.status is Status.SILENT else ""
    return f"{problem.reason[:REASON_CHARS_MAX]}{when}"


def _problem(problem: Problem, now_us: int, *, old: bool) -> Text:
    parts = (problem.title, sentences.where(problem), _since(problem.since_us, now_us), sentences.versions(problem))
    text = badged(problem.status, old=old) + said(" " + "  ".join(each for each in parts if each))
    if problem.reason:
        text += said(f"\n    {_reason(problem)}", "dim")
    if problem.command:
        text += said(f"\n    $ {problem.command}", "italic")
    return text


def _model(found: ModelShown, now_us: int, *, old: bool) -> Text:
    line = found.model
    text = said(f"{line.model} ", "bold") + badged(line.status, old=old)
    since = (now_us - line.consistent_since_us) / 1_000_000 if line.consistent_since_us else None
    parts = [
        sentences.served_sentence(line.serving, line.counted, line.latest_version),
        sentences.consistent_sentence(line.consistent_version, line.last_consistent_version, since),
    ]
    text += said(f" {' · '.join(parts)}")
    return text + said(f"\n{line.alarm[:REASON_CHARS_MAX]}", "bold") if line.alarm else text


def _why(found: ModelShown, command: str) -> Text:
    lines = [f"{p.title}: {_reason(p)}" for p in found.problems if p.reason]
    return said("\n".join([*lines[:5], f"$ {command}"]))


def _region(row: PairLine, now_us: int, *, old: bool) -> Text:
    served = row.reported_version if row.status is Status.SILENT else row.served_version
    heard = " when last heard" if row.status is Status.SILENT else ""
    known = sentences.version(served)
    aspired = "" if row.aspired_version in {served, None} else f" → {row.aspired_version}"
    parts = [
        row.region.ljust(20),
        _since(row.since_us, now_us),
        f"{known}{aspired}{heard}",
        f"{row.pods_serving}/{row.pods_expected} pods",
        row.left_out,
        row.error[:REASON_CHARS_MAX],
    ]
    head = badged(row.status, old=old)
    head.pad_right(max(0, BADGE_CELLS - head.cell_len))
    return head + said(" " + "  ".join(each for each in parts if each))
