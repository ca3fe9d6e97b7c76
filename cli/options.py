"""Options that many commands share."""

import os
import re
import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from modelcast.cli.console import Format
from modelcast.schemas.errors import UsageError
from modelcast.schemas.text.printable import printable

Output = Annotated[Format, typer.Option("--output", "-o", help="How data is written.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
Reason = Annotated[str, typer.Option("--reason", help="Why; stands in the model's history.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would happen, and change nothing.")]
Regions = Annotated[
    list[str] | None, typer.Option("--region", "-r", help="Only this region (may be given several times).")
]
UnknownRegionOk = Annotated[
    bool, typer.Option("--unknown-region-ok", help="Accept a region that the settings here do not list.")
]
Watch = Annotated[bool, typer.Option("--watch", "-w", help="Keep showing until Ctrl-C.")]

_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d)?")
_UNIT_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, None: 1.0}
_CLOCK = re.compile(r"([01]?[0-9]|2[0-3]):([0-5][0-9])(?::([0-5][0-9]))?")


def path(text: str) -> Path:
    """A path that was typed. An empty one is most likely a shell's variable that is not set, and would mean `.`.

    Raises:
        typer.BadParameter: it is empty.
    """
    if not text:
        raise typer.BadParameter("a path is empty; `.` is the folder that you are in")
    return Path(text)


def check_output_file(file: Path) -> None:
    """Make sure that a file can be written, before what it is to hold is worked for.

    Raises:
        UsageError: it is a folder, lies in none, or must not be written.
    """
    if not file.parent.is_dir():
        raise UsageError("no such folder to write into", subject=str(file.parent), hint="make it, or name another")
    if file.is_dir():
        raise UsageError("a folder, and no file to write", subject=str(file), hint="name a file in it")
    if not os.access(file if file.exists() else file.parent, os.W_OK):
        raise UsageError("may not be written", subject=str(file), hint="mend its permissions, or name another place")


def check_output_folder(folder: Path, option: str) -> None:
    """Make sure that what a command is to write into is a folder, or can become one.

    Raises:
        UsageError: it is something else.
    """
    if folder.exists() and not folder.is_dir():
        raise UsageError("a file, and no folder", subject=str(folder), hint=f"name a folder in {option}")


def seconds_of(text: str) -> float:
    """Read ``5m``, ``90s``, ``1.5h`` or plain seconds.

    Raises:
        UsageError: it is none of these.
    """
    match = _DURATION.fullmatch(text.strip())
    if not match:
        raise UsageError(f"bad duration {text!r}", hint="write 30s, 5m, 1.5h or plain seconds")
    return float(match[1]) * _UNIT_SECONDS[match[2]]


def instant_ahead(text: str, now: datetime) -> int:
    """Read a time to come as people type it: UTC microseconds. ``now`` is local time with its zone.

    Raises:
        UsageError: it is none, or has passed.
    """
    hint = "write 2026-12-01T09:30:00Z, 09:30 (local time, the next one), or how long from now, as in 10m"
    at: datetime
    if clock := _CLOCK.fullmatch(text.strip()):
        at = now.replace(hour=int(clock[1]), minute=int(clock[2]), second=int(clock[3] or 0), microsecond=0)
        at = at if at > now else at + timedelta(days=1)
    else:
        try:
            at = datetime.fromisoformat(text.strip())
            at = at if at.tzinfo is not None else at.replace(tzinfo=now.tzinfo)
        except ValueError:
            try:
                at = now + timedelta(seconds=seconds_of(text))
            except (UsageError, OverflowError):
                raise UsageError(f"{text[:40]!r} is no time", subject="--at", hint=hint) from None
    if at <= now:
        raise UsageError(f"{text[:40]!r} has passed", subject="--at", hint=hint)
    return round(at.timestamp() * 1_000_000)


def pairs_of(texts: list[str] | None, what: str) -> dict[str, str]:
    """Read ``key=value`` options.

    Raises:
        UsageError: one has no ``=`` or an empty key, or a key is given twice.
    """
    pairs: dict[str, str] = {}
    for text in texts or []:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise UsageError(f"bad {what} {text!r}", hint=f"write --{what} NAME=VALUE")
        if key in pairs:
            raise UsageError(f"{what} {key!r} is given twice", hint="give it once")
        pairs[key] = value
    return pairs


def confirm(question: str, *, yes: bool) -> None:
    """Ask before something changes, unless ``yes`` is given or there is no terminal to answer at.

    Raises:
        typer.Abort: the answer is no.
    """
    if not yes and sys.stdin.isatty() and sys.stderr.isatty():
        typer.confirm(printable(question), abort=True, err=True)
