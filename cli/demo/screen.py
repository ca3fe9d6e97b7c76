"""The demo as a person sees it: what is happening, who serves what, and that nothing was dropped."""

import io
import re
import threading
import time
from collections.abc import Iterable
from pathlib import Path

from rich.console import Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from modelcast.cli.console import SafeConsole, err, say
from modelcast.cli.demo.outcome import Outcome
from modelcast.cli.demo.subject import Subject
from modelcast.cli.views import tables
from modelcast.schemas.quantities import duration, size

LINES_KEPT = 12
PICTURE_COLUMNS = 112
_REMOTE_FONT = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)


class Screen:
    """A live picture on a terminal; lines elsewhere. A ``Progress`` of the local stack too."""

    def __init__(self) -> None:
        self.subjects: list[Subject] = []
        self._lines: list[tuple[float, str]] = []
        self._began = time.monotonic()
        self._doing = ""
        self._seen: dict[str, str] = {}
        self._lock = threading.Lock()
        self._live = Live(console=err, get_renderable=self._picture, refresh_per_second=8) if err.is_terminal else None

    def __enter__(self) -> "Screen":
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()

    def step(self, text: str) -> None:
        """Show what is happening right now."""
        with self._lock:
            self._doing = text
        if not self._live:
            say(f"{self._clock():>6}  {text}")

    def report(self, text: str) -> None:
        """Show what has happened; it stays on the screen."""
        with self._lock:
            self._lines = [*self._lines, (time.monotonic() - self._began, text)][-LINES_KEPT:]
            self._doing = ""
        if not self._live:
            say(f"{self._clock():>6}  {text}")

    def save(self, path: Path) -> None:
        """Write the picture as it is now, as SVG."""
        console = SafeConsole(
            record=True, width=PICTURE_COLUMNS, file=io.StringIO(), force_terminal=True, highlight=False
        )
        console.print(self._picture())
        svg = console.export_svg(title="make demo")
        path.write_text(_REMOTE_FONT.sub("", svg))  # the picture loads nothing from elsewhere

    def _clock(self) -> str:
        return f"{time.monotonic() - self._began:.1f} s"

    def _picture(self) -> RenderableType:
        with self._lock:
            lines = [Text(f"{at:5.1f} s  {text}") for at, text in self._lines]
            doing = [Text(f"{self._clock():>7}  {self._doing} …", style="dim")] if self._doing else []
        parts: list[RenderableType] = [Panel(Group(*lines, *doing), title="modelcast demo", title_align="left")]
        for subject in list(self.subjects):
            parts += _subject(subject)
        return Group(*parts)


def _subject(subject: Subject) -> list[RenderableType]:
    state, tally = subject.watch.state, subject.traffic.tally
    if state is None:
        return []
    parts: list[RenderableType] = [Text(f"\n{subject.trained.model}", style="bold"), tables.model_table(state)]
    fetches = tables.fetches_table((row.region, row) for row in state.regions)
    parts += [fetches] if fetches is not None else tables.notes(state)
    if tally.sent:
        served = " and ".join(map(str, sorted(set(tally.versions_now.values())))) or "-"
        counts = f"{tally.sent} predictions asked of {len(tally.by_pod)} pods, answered by version {served}: "
        style = "bold red" if tally.failed or tally.wrong else "green"
        parts.append(Text(f"{counts}{tally.failed} failed, {tally.wrong} wrong", style=style))
    return parts


def summary_table(outcome: Outcome, model: str) -> Table:
    """What each thing that was asked took, a line each: seconds to serving and bytes moved by region, and how."""
    regions = sorted({name for row in outcome.seconds_to_serving.values() for name in row})
    table = Table("SECONDS TO SERVING", *regions, "BYTES MOVED", "SAVED", "WAY", box=None)
    for label, row in outcome.seconds_to_serving.items():
        crossings = list(outcome.transfers.get(label, {}).values())
        table.add_row(
            f"{model}/{label}" if label.isdigit() else label,
            *(duration(row[r]) if r in row else "-" for r in regions),
            _each(size(c.bytes_moved) for c in crossings),
            _each(size(c.bytes_saved) for c in crossings),
            _each(c.way for c in crossings),
        )
    return table


def _each(texts: Iterable[str]) -> str:
    """The text of each region, once where they are equal."""
    return ", ".join(dict.fromkeys(texts)) or "-"
