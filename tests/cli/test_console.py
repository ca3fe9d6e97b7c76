"""What people are shown obeys nobody but us: control characters from elsewhere reach no terminal."""

import io
import json
from collections.abc import Callable

import pytest
import yaml
from rich.console import RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from modelcast.cli import console
from modelcast.cli.console import Format, SafeConsole, complain, emit, say
from modelcast.schemas.errors import ModelcastError

EVIL = "\x1b[2J\x1b]0;owned\x07\x9b31m\r\u202eend"
SHOWN = "[2J]0;owned31mend"


def table() -> Table:
    made = Table("WHO", box=None)
    made.add_row(EVIL)
    return made


@pytest.mark.parametrize("renderable", [table(), Text(EVIL), EVIL, Panel(EVIL)], ids=["table", "text", "str", "panel"])
def test_a_console_shows_what_a_text_holds_and_obeys_none_of_it(renderable: RenderableType) -> None:
    file = io.StringIO()
    SafeConsole(file=file, width=80, markup=False).print(renderable)
    assert SHOWN in file.getvalue()
    assert not set(file.getvalue()) & set(EVIL) - set(SHOWN)


def test_a_live_picture_obeys_none_of_it_either() -> None:
    file = io.StringIO()
    shown = SafeConsole(file=file, width=80, force_terminal=True, color_system=None)
    with Live(console=shown, auto_refresh=False) as live:
        live.update(table(), refresh=True)
    assert SHOWN in file.getvalue()
    assert "\x1b]0;" not in file.getvalue()
    assert "\x1b[2J" not in file.getvalue()


@pytest.mark.parametrize(("format_", "read"), [(Format.json, json.loads), (Format.yaml, yaml.safe_load)])
def test_programs_get_the_text_itself_and_a_terminal_nothing_to_obey(
    format_: Format, read: Callable[[str], object], capsys: pytest.CaptureFixture[str]
) -> None:
    emit({"who": EVIL}, format_, "")
    out = capsys.readouterr().out
    assert not set(out) & set(EVIL) - set(SHOWN)
    assert read(out) == {"who": EVIL}


def test_remarks_and_errors_are_stripped(monkeypatch: pytest.MonkeyPatch) -> None:
    file = io.StringIO()
    monkeypatch.setattr(console, "err", SafeConsole(file=file, width=200, highlight=False, soft_wrap=True))
    say(f"note {EVIL}")
    complain(ModelcastError(EVIL, subject=EVIL, hint=EVIL))
    assert file.getvalue().count(SHOWN) == 4
    assert not set(file.getvalue()) & set(EVIL) - set(SHOWN)


BREAKS = "first\nsecond\tthird\n\nfourth"


@pytest.mark.parametrize("cell", [BREAKS, Text(BREAKS, style="bold")], ids=["str", "text"])
def test_a_cell_is_one_line_whatever_stands_in_it(cell: RenderableType) -> None:
    file = io.StringIO()
    made = console.TextTable("WHO", "WHY", box=None)
    made.add_row("eu", cell)
    SafeConsole(file=file, width=80, markup=False).print(made)
    _, row = file.getvalue().splitlines()
    assert row.split() == ["eu", "first", "second", "third", "fourth"]


def test_an_error_is_one_line_and_its_hint_may_quote_more(monkeypatch: pytest.MonkeyPatch) -> None:
    file = io.StringIO()
    monkeypatch.setattr(console, "err", SafeConsole(file=file, width=200, highlight=False, soft_wrap=True))
    complain(ModelcastError("bad\nword", subject="a\nb", hint="its log:\nlast line"))
    assert file.getvalue().splitlines() == ["error a b: bad word", "  → its log:", "last line"]
