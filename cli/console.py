"""What people and programs see: data on stdout, progress and errors on stderr."""

import dataclasses
import os
import sys
from collections.abc import Iterable, Mapping
from enum import Enum, StrEnum
from typing import Any

import orjson
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.style import StyleType
from rich.table import Table
from rich.text import Text

from modelcast.schemas.errors import ModelcastError
from modelcast.schemas.quantities import SIZES, size
from modelcast.schemas.text.printable import escaped_json, is_printable, one_line, printable


class Format(StrEnum):
    """How data is written."""

    table = "table"
    json = "json"
    yaml = "yaml"


class SafeConsole(Console):
    """A console that takes control characters out of whatever is shown, but for those that are its own."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """As ``Console``, with nothing in a text that a terminal would obey."""
        for segment in super().render(renderable, options):
            if segment.control or is_printable(segment.text):
                yield segment
            else:
                yield Segment(printable(segment.text), segment.style)


class TextTable(Table):
    """A table whose rows are lines, whatever models, pods and errors say about themselves."""

    def add_row(
        self, *renderables: RenderableType | None, style: StyleType | None = None, end_section: bool = False
    ) -> None:
        """As ``Table``, with spaces for line breaks in cells of text."""
        super().add_row(*map(_in_one_line, renderables), style=style, end_section=end_section)


def _in_one_line(cell: RenderableType | None) -> RenderableType | None:
    if isinstance(cell, str):
        return one_line(cell)
    if isinstance(cell, Text):
        cell = cell.copy()
        cell.plain = one_line(cell.plain)
    return cell


def _open_streams() -> None:
    """A shell can start us with a closed output (``>&-``): what is written there goes nowhere."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: PTH123, SIM115


_open_streams()
# No markup: what models, pods and errors say about themselves is text. Off a terminal nothing is wrapped.
out = SafeConsole(highlight=False, markup=False, width=None if sys.stdout.isatty() else 240)
err = SafeConsole(stderr=True, highlight=False, soft_wrap=True)


def plain(value: Any) -> Any:
    """A value as JSON has it: dataclasses become objects, enums their values, bytes hex digits."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(v) for v in value]
    return value


def emit(data: Any, format_: Format, table: RenderableType) -> None:
    """Write ``data`` as JSON or YAML, or ``table`` for people."""
    match format_:
        case Format.json:
            sys.stdout.write(escaped_json(orjson.dumps(plain(data), option=orjson.OPT_INDENT_2).decode()) + "\n")
        case Format.yaml:
            import yaml

            text = yaml.safe_dump(plain(data), sort_keys=False, allow_unicode=True)
            if not is_printable(text):
                text = yaml.safe_dump(plain(data), sort_keys=False, allow_unicode=False)
            sys.stdout.write(text)
        case Format.table:
            out.print(table)
    sys.stdout.flush()


def say(text: str) -> None:
    """Progress and remarks, for people."""
    err.print(text, markup=False)


def complain(error: ModelcastError) -> None:
    """An error: what was wrong, with what, and what to do next."""
    head = f"{error.subject}: {error.message}" if error.subject else error.message
    err.print("[bold red]error[/]", end=" ")
    err.print(one_line(head), markup=False)
    if error.hint:
        err.print(f"  → {error.hint}", markup=False)


def size_of(done: float, total: float) -> str:
    """Two sizes in the unit of the second: ``1.5 of 64 MiB``."""
    whole = size(total)
    number, unit = whole.split()
    power = SIZES.index(unit)
    return f"{done / 1024**power:.{0 if power == 0 or float(number) >= 100 else 1}f} of {whole}"
