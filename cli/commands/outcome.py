"""``modelcast outcome``: reports what came of a model's answers, one by one or from a file."""

import sys
from collections.abc import Iterator
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer

from modelcast.cli.configured import load
from modelcast.cli.console import say
from modelcast.cli.views.at_time import time_of
from modelcast.schemas.errors import NotFound, UsageError
from modelcast.schemas.names import check_model
from modelcast.schemas.quantities import number

if TYPE_CHECKING:
    from modelcast.producers import OutcomeReporter

FIELDS = ("name", "value", "version", "key", "at", "region", "id")
LINE_BYTES_MAX = 64 * 1024


def register(app: typer.Typer) -> None:
    """Add ``outcome`` to the command line."""
    app.command()(outcome)


def outcome(
    model: Annotated[str, typer.Argument(help="The model, as in fraud.")],
    name: Annotated[str, typer.Argument(help="Of the outcome, as in the gate outcome:ctr>=-1%.")] = "",
    value: Annotated[str, typer.Argument(help="A number; of a yes or no, 1 or 0.")] = "",
    version: Annotated[
        int | None, typer.Option("--version", min=1, help="Which version answered (header modelcast-version).")
    ] = None,
    key: Annotated[str, typer.Option("--key", help="Who asked, as in the header or field the rollout draws by.")] = "",
    at: Annotated[str, typer.Option("--at", help="When it answered: a time, or how long ago. Without it, now.")] = "",
    region: Annotated[str, typer.Option("--region", "-r", help="Where, if that is known.")] = "",
    outcome_id: Annotated[str, typer.Option("--id", help="Names it once: reported again, it counts once.")] = "",
    file: Annotated[
        str, typer.Option("--file", "-f", help=f"JSON lines with {', '.join(FIELDS)}; - reads standard input.")
    ] = "",
) -> None:
    """Report what came of a model's answers: a rollout compares the versions by it."""
    from modelcast.producers import OutcomeReporter

    checked = check_model(model)
    if bool(file) == bool(name and value):
        hint = f"write `modelcast outcome {checked} ctr 1 --version 8`, or --file FILE"
        raise UsageError("it needs a name and a number, or a file of them", subject=checked, hint=hint)
    with OutcomeReporter(load()) as reporter:
        if not file:
            row = {"name": name, "value": _number_of(value), "version": version, "key": key, "at": at, "region": region}
            _report(reporter, checked, {**row, "id": outcome_id})
            count = 1
        else:
            count = sum(_report_line(reporter, checked, place, line) for place, line in _lines(file))
    say(f"{checked}: {number(count)} reported")


def _number_of(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise UsageError(f"{text[:40]!r} is no number", subject="outcome", hint="write 1, 0 or 12.5") from None


def _lines(file: str) -> Iterator[tuple[int, bytes]]:
    if file != "-" and not Path(file).is_file():
        raise NotFound("no such file", subject=file, hint="name a file of JSON lines, or - for standard input")
    with nullcontext(sys.stdin.buffer) if file == "-" else Path(file).open("rb") as lines:
        place = 0
        while line := lines.readline(LINE_BYTES_MAX + 1):
            place += 1
            if len(line) > LINE_BYTES_MAX:
                raise UsageError(
                    f"line {place} is longer than {LINE_BYTES_MAX} bytes", subject=file, hint="one object a line"
                )
            if line.strip():
                yield place, line


def _report_line(reporter: "OutcomeReporter", model: str, place: int, line: bytes) -> int:
    try:
        row = orjson.loads(line)
        if not isinstance(row, dict):
            raise UsageError("it is no object", hint=f"write one with {', '.join(FIELDS)}")
        if unknown := sorted(row.keys() - set(FIELDS)):
            raise UsageError(f"unknown fields: {', '.join(unknown)[:200]}", hint=f"known: {', '.join(FIELDS)}")
        _report(reporter, model, row)
    except orjson.JSONDecodeError as error:
        raise _in_line(place, f"not JSON: {error}", "one object a line") from None
    except UsageError as error:
        raise _in_line(place, error.message, error.hint) from None
    return 1


def _in_line(place: int, what: str, hint: str) -> UsageError:
    before = f"the {place - 1} lines before it were reported; with ids, all may be reported again" if place > 1 else ""
    return UsageError(f"line {place}: {what}"[:500], subject="--file", hint="; ".join(filter(None, (hint, before))))


def _report(reporter: "OutcomeReporter", model: str, row: dict[str, Any]) -> None:
    texts = {field: row.get(field) or "" for field in ("name", "key", "region", "id")}
    for field, text in texts.items():
        if not isinstance(text, str):
            raise UsageError(f"{field} is {text!r}"[:120], subject=model, hint="write it as a text")
    version = row.get("version")
    if version is not None and type(version) is not int:
        raise UsageError(f"version is {version!r}"[:120], subject=model, hint="write its number, or leave it out")
    reporter.report(
        model,
        texts["name"],
        row.get("value"),  # type: ignore[arg-type]
        version=version,
        key=texts["key"],
        at=_time(row.get("at")),
        region=texts["region"],
        outcome_id=texts["id"],
    )


def _time(value: object) -> datetime | None:
    """Of a text, a time or how long ago; of a number, seconds since 1970."""
    if value is None or value == "":
        return None
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            return datetime.fromtimestamp(value, UTC)
        except (ValueError, OverflowError, OSError):
            raise UsageError(
                f"{value!r} is no time", subject="at", hint="seconds since 1970, or 2026-11-30T09:30Z"
            ) from None
    return time_of(str(value), datetime.now(UTC).astimezone())
