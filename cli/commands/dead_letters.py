"""``modelcast dead-letters list | show | replay``: what could not be read or obeyed."""

import time
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from modelcast.cli.configured import load
from modelcast.cli.console import Format, TextTable, emit, out, say
from modelcast.cli.options import DryRun, Output, Yes, confirm
from modelcast.schemas.digests import short
from modelcast.schemas.quantities import duration, size

if TYPE_CHECKING:
    from modelcast.infra.kafka.replays import Replay

dead_letters = typer.Typer(no_args_is_help=True, help="What could not be read or obeyed, and why.")
Offset = Annotated[int, typer.Argument(min=0, help="Its place, as `list` shows it.")]


def register(app: typer.Typer) -> None:
    """Add ``dead-letters`` to the command line."""
    app.add_typer(dead_letters, name="dead-letters")


@dead_letters.command("list")
def list_(
    last: Annotated[int, typer.Option("--last", min=1, help="How many of the newest to show.")] = 50,
    output: Output = Format.table,
) -> None:
    """The newest dead letters."""
    from modelcast.infra.kafka.dead_letters import read

    found = read(load(), last=last)
    table = TextTable("OFFSET", "AGE", "FROM", "REASON", "SIZE", "REPORTED BY", "REPLAYED", "DETAIL", box=None)
    for stored in found:
        letter = stored.letter
        place = f"{letter.source_topic}[{letter.source_partition}]@{letter.source_offset}"
        table.add_row(
            str(stored.offset),
            duration(time.time() - stored.received_at_us / 1e6),
            place,
            letter.reason,
            size(letter.raw_size_bytes),
            letter.reported_by,
            "; ".join(_replay_text(r) for r in stored.replays) or "-",
            letter.detail,
        )
    emit(found, output, table)


@dead_letters.command()
def show(offset: Offset, output: Output = Format.table) -> None:
    """One dead letter, with its bytes."""
    from modelcast.infra.kafka.dead_letters import find

    stored = find(load(), offset)
    letter = stored.letter
    table = TextTable(show_header=False, box=None)
    for name, value in (
        ("from", f"{letter.source_topic}[{letter.source_partition}]@{letter.source_offset}"),
        ("reason", letter.reason),
        ("detail", letter.detail),
        ("reported by", letter.reported_by),
        ("age", duration(time.time() - stored.received_at_us / 1e6)),
        ("key", repr(letter.key)),
        ("size", f"{size(letter.raw_size_bytes)} (kept: {size(len(letter.raw))})"),
        ("sha256", short(letter.raw_digest)),
        *(("replayed", _replay_text(r) + (f": {r.reason}" if r.reason else "")) for r in stored.replays),
    ):
        table.add_row(name, value)
    emit(stored, output, table)
    if output is Format.table:
        out.print(_hexdump(letter.raw[:512]), markup=False)


@dead_letters.command()
def replay(
    offset: Offset,
    reason: Annotated[str, typer.Option("--reason", help="Why; stands with the letter and on what is sent.")] = "",
    yes: Yes = False,
    dry_run: DryRun = False,
    output: Output = Format.table,
) -> None:
    """Send one back to where it came from, once its reader can read it. `list` and `show` tell who did, and why."""
    from modelcast.infra.kafka.announcer import KafkaAnnouncer
    from modelcast.infra.kafka.dead_letters import check_replayable, find
    from modelcast.infra.kafka.dead_letters import replay as send
    from modelcast.infra.registry.audit_trail import audit_trail
    from modelcast.producers.identity import where_from, whoami

    settings = load()
    stored = find(settings, offset)
    letter, by = stored.letter, settings.publish.publisher or whoami()
    check_replayable(letter)
    for before in stored.replays:
        say(f"note: it was replayed before, {_replay_text(before)}")
    what = f"{size(letter.raw_size_bytes)} to {letter.source_topic}"
    data = {"offset": offset, "topic": letter.source_topic, "by": by, "reason": reason, "dry_run": dry_run}
    if dry_run:
        emit(data, output, Text(f"would send {what}, as {by}"))
        return
    confirm(f"Send {what} again?", yes=yes)
    trail = audit_trail(settings, source=where_from())
    replayed = trail.of(by, "dead-letters replay", f"dead letter {offset}", reason=reason)
    with replayed, KafkaAnnouncer(settings) as announcer:
        send(stored, announcer, by=by, reason=reason, timeout_seconds=settings.kafka.timeout_seconds)
    emit(data, output, Text(f"sent {what}, as {by}"))


def _replay_text(replay: "Replay") -> str:
    return f"{duration(time.time() - replay.at_us / 1e6)} ago by {replay.by}"


def _hexdump(data: bytes) -> str:
    lines = []
    for start in range(0, len(data), 16):
        row = data[start : start + 16]
        text = "".join(chr(b) if 32 <= b < 127 else "." for b in row)
        lines.append(f"{start:06x}  {row.hex(' '):<47}  {text}")
    return "\n".join(lines)
