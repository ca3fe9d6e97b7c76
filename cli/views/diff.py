"""``modelcast diff MODEL/A MODEL/B``: what differs between two versions."""

from typing import TYPE_CHECKING, Annotated

import typer

from modelcast.cli.configured import load
from modelcast.cli.console import Format, TextTable, emit
from modelcast.cli.options import Output
from modelcast.cli.views.registry import ReferenceArgument, read_log
from modelcast.schemas.errors import ExitCode, UsageError
from modelcast.schemas.names import Reference
from modelcast.schemas.quantities import MISSING, size

if TYPE_CHECKING:
    from modelcast.schemas.history.difference import TensorShape, VersionDifference

ROWS_MAX = 50
"""Lines of a kind that people are shown; -o json has all."""


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command()(diff)


def diff(
    before: ReferenceArgument,
    after: ReferenceArgument,
    exit_code: Annotated[
        bool, typer.Option("--exit-code", help="Exit with 1 if anything differs, as git does.")
    ] = False,
    output: Output = Format.table,
) -> None:
    """What differs between two versions of a model: files, bytes, tensors, metrics, labels."""
    from modelcast.infra.history import compare_versions
    from modelcast.infra.registry.configured import registry_of
    from modelcast.infra.stores.configured import origin_store

    one, other = Reference.parse(before), Reference.parse(after)
    if one.model != other.model:
        hint = f"name two of {one.model}, as in {one.model}/1 {one.model}/2"
        raise UsageError("versions of different models", subject=f"{one} {other}", hint=hint)
    settings = load()
    store = origin_store(settings)
    log, _ = read_log(registry_of(settings, store), one.model)
    found = compare_versions(store, log.resolve(one), log.resolve(other))
    emit(found, output, difference_table(found))
    if exit_code and not found.is_empty:
        raise typer.Exit(int(ExitCode.FAILED))


def difference_table(found: "VersionDifference") -> TextTable:
    """What differs, a line each."""
    table = TextTable("", "WHAT", str(found.before), str(found.after), "", box=None)
    if found.is_empty:
        table.add_row("same", f"{found.files_same} files, metrics and labels", "", "", "")
        return table
    for name, (old, new) in (("framework", found.framework), ("placement", _placements(found))):
        if old != new:
            table.add_row("changed", name, old or MISSING, new or MISSING, "")
    for kind, values in (("metric", found.metrics), ("label", found.labels)):
        for each in values:
            table.add_row(
                _how(each.before, each.after), f"{kind} {each.name}", _text(each.before), _text(each.after), ""
            )
    for file in found.files[:ROWS_MAX]:
        blocks = f"{file.blocks_changed} of {file.blocks} MiB new" if file.after_bytes else ""
        table.add_row(file.differs.value, file.path, size(file.before_bytes), size(file.after_bytes), blocks)
    for tensor in found.tensors[:ROWS_MAX]:
        table.add_row(
            tensor.differs.value, f"tensor {tensor.name}", _shape(tensor.before), _shape(tensor.after), tensor.file
        )
    for more, what in ((len(found.files) - ROWS_MAX, "files"), (len(found.tensors) - ROWS_MAX, "tensors")):
        if more > 0:
            table.add_row("", f"{more} more {what}: -o json", "", "", "")
    if found.tensors_same:
        table.add_row("same", f"type and shape of {found.tensors_same} tensors in changed files", "", "", "")
    for why in found.tensors_unread:
        table.add_row("unread", why, "", "", "")
    changed = f"{size(found.changed_bytes)} of {size(found.size_bytes)} are in files that {found.before} lacks"
    table.add_row("bytes", changed, "", "", f"{found.files_same} files are the same" if found.files_same else "")
    return table


def _placements(found: "VersionDifference") -> tuple[str, str]:
    old, new = (", ".join(each) or "all regions" for each in found.placement)
    return old, new


def _how(before: object, after: object) -> str:
    return "added" if before is None else "removed" if after is None else "changed"


def _text(value: float | str | None) -> str:
    return MISSING if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _shape(shape: "TensorShape | None") -> str:
    return MISSING if shape is None else f"{shape.dtype} {list(shape.shape)}"
