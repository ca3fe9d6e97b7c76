"""``modelcast audit``: who did what, from where, and what came of it, also of what was refused."""

import time
from dataclasses import asdict
from typing import Annotated

import typer
from rich.text import Text

from modelcast.cli.configured import load, warnings_only
from modelcast.cli.console import Format, TextTable, emit
from modelcast.cli.options import Output, seconds_of
from modelcast.schemas.quantities import duration


def register(app: typer.Typer) -> None:
    """Add ``audit`` to the command line."""
    app.command()(audit)


def audit(
    model: Annotated[str, typer.Argument(help="Only what concerns this model.")] = "",
    since: Annotated[str, typer.Option("--since", help="How far back, as in 12h, 30d.")] = "7d",
    last: Annotated[int, typer.Option("--last", min=1, max=10_000, help="How many of the newest to read.")] = 50,
    output: Output = Format.table,
) -> None:
    """What was published, commanded, accepted, replayed and forgotten, newest first: done, needless, refused or failed.

    Times are those of who did it. Who writes to the store can forge an entry; none is changed or deleted by Modelcast.
    """
    from modelcast.infra.registry.audit_trail import audit_trail

    warnings_only()
    seconds, now = seconds_of(since), time.time()
    found = audit_trail(load(), source="").read(since_us=int((now - seconds) * 1e6), last=last)
    shown = [entry for entry in reversed(found) if not model or entry.subject.partition("/")[0] == model]
    table = TextTable("AGE", "WHO", "ACTION", "SUBJECT", "RESULT", "GENERATION", "WHY", "DETAIL", "FROM", box=None)
    for entry in shown:
        table.add_row(
            duration(max(0.0, now - entry.at_us / 1e6)),
            entry.who,
            entry.action,
            entry.subject,
            Text(entry.result, style="" if entry.result in {"done", "needless"} else "bold red"),
            str(entry.generation or "-"),
            entry.reason or "-",
            entry.detail or "-",
            entry.source,
        )
    emit([asdict(entry) for entry in shown], output, table)
