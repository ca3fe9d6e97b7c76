"""``modelcast delta make | apply | info | publish``: deltas made, applied and published by hand."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from modelcast.cli.console import Format, TextTable, emit, plain, say
from modelcast.cli.delta_extra import needs_deltas
from modelcast.cli.delta_publish import publish
from modelcast.cli.options import Output, path
from modelcast.schemas.digests import hex_of
from modelcast.schemas.errors import ContentError, UsageError
from modelcast.schemas.quantities import size

if TYPE_CHECKING:
    from modelcast.deltas.codec import DeltaInfo

deltas = typer.Typer(no_args_is_help=True, help="Deltas between two versions of a file or folder.")
Threads = Annotated[int | None, typer.Option("--threads", min=1, help="How many threads at most (default: all cores).")]
New = Annotated[
    Path, typer.Argument(metavar="NEW", help="The file or folder that it will make.", parser=path, show_default=False)
]
Base = Annotated[Path, typer.Argument(metavar="OLD", help="The file or folder that the receiver has.", parser=path)]


def register(app: typer.Typer) -> None:
    """Add these commands to the command line."""
    deltas.command()(publish)
    app.add_typer(deltas, name="delta")


@deltas.command()
def make(
    old: Base,
    new: New,
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Where the delta is written.", parser=path)],
    threads: Threads = None,
    output: Output = Format.table,
) -> None:
    """Write the delta that makes NEW of OLD."""
    with needs_deltas():
        from modelcast.deltas import codec as delta

    began = time.monotonic()
    info = delta.make(old, new, out, threads=threads)
    _show(info, output)
    say(f"{size(info.delta_size_bytes)} instead of {size(info.new_size_bytes)} in {time.monotonic() - began:.1f} s")


@deltas.command()
def apply(
    old: Base,
    delta_file: Annotated[Path, typer.Argument(metavar="DELTA", help="What delta make wrote.", parser=path)],
    out: Annotated[
        Path, typer.Argument(metavar="OUT", help="What is rebuilt; it appears verified or not at all.", parser=path)
    ],
    digest: Annotated[str | None, typer.Option("--digest", help="What OUT must be: sha256:<64 hex digits>.")] = None,
    threads: Threads = None,
) -> None:
    """Rebuild OUT from OLD and DELTA; exit code 4 if anything does not verify."""
    with needs_deltas():
        from modelcast.deltas import codec as delta

    if digest is not None:
        _check_digest(digest)
    began = time.monotonic()
    delta.apply(old, delta_file, out, expected_digest=digest, threads=threads)
    say(f"{out}: verified, in {time.monotonic() - began:.1f} s")


@deltas.command()
def info(
    delta_file: Annotated[Path, typer.Argument(metavar="DELTA", help="What delta make wrote.", parser=path)],
    output: Output = Format.table,
) -> None:
    """What a delta needs, what it makes, and how."""
    with needs_deltas():
        from modelcast.deltas import codec as delta

    _show(delta.info(delta_file), output)


def _check_digest(text: str) -> None:
    try:
        hex_of(text)
    except ContentError as error:
        raise UsageError(error.message, hint=error.hint) from None


def _compared(ratio: float) -> str:
    if ratio <= 0:
        return ", and the whole is empty"
    return f", {ratio:.2f}× smaller than the whole" if ratio >= 1 else f", {1 / ratio:.2f}× larger than the whole"


def _show(info: "DeltaInfo", output: Format) -> None:
    table = TextTable(box=None, show_header=False)
    unchanged = f", {info.files_unchanged} unchanged" if info.files_unchanged else ""
    files = f" ({info.files} files{unchanged})" if info.kind == "folder" else ""
    table.add_row("delta", size(info.delta_size_bytes) + _compared(info.ratio))
    table.add_row("base", f"{info.base_digest}  {size(info.base_size_bytes)}" if info.base_digest else "none")
    table.add_row("makes", f"{info.new_digest}  {size(info.new_size_bytes)}{files}")
    for share in info.methods:
        what = f"{size(share.new_bytes)} from {size(share.delta_bytes)} in {share.frames} frames"
        table.add_row(share.method, what)
    emit(plain(info) | {"ratio": round(info.ratio, 4)}, output, table)
