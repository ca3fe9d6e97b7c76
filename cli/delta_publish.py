"""``modelcast delta publish``: deltas of a version that was published before."""

from typing import TYPE_CHECKING, Annotated

import typer

from modelcast.cli.configured import load
from modelcast.cli.console import Format, TextTable, emit, plain, say
from modelcast.cli.delta_extra import needs_deltas
from modelcast.cli.options import Output
from modelcast.schemas.errors import UsageError
from modelcast.schemas.names import Reference, check_version
from modelcast.schemas.quantities import size

if TYPE_CHECKING:
    from modelcast.producers import Addition


def publish(
    version: Annotated[str, typer.Argument(metavar="MODEL/V", help="What the deltas make, as in fraud/7.")],
    base: Annotated[
        list[int] | None, typer.Option("--from", min=1, help="The version that they start from (may be given often).")
    ] = None,
    output: Output = Format.table,
) -> None:
    """Make deltas of a published version and put them beside it; what is there is not made again."""
    with needs_deltas():
        from modelcast.deltas.publish.add import add_deltas

    for each in base or ():
        check_version(each)
    reference = Reference.parse(version)
    if reference.version is None:
        raise UsageError("which version?", subject=version, hint="write MODEL/VERSION, as in fraud/7")
    offers = add_deltas(load(), reference.model, reference.version, bases=base or (), progress=_Teller())
    table = TextTable("FROM", "FILES", "BYTES", "SMALLER", "SECONDS", box=None)
    for offer in offers:
        start = str(offer.base_version) if offer.base_version else "nothing"
        table.add_row(start, str(offer.files), size(offer.size_bytes), f"{offer.ratio:.1f}×", f"{offer.seconds:.1f}")
    if not offers:
        say(f"{version}: nothing to add")
    emit(plain(offers), output, table)


class _Teller:
    """A ``PublishProgress`` that says what was made."""

    def step(self, name: str, total_bytes: int = 0) -> None: ...

    def advance(self, done_bytes: int) -> None: ...

    def added(self, addition: "Addition") -> None:
        say(str(addition))
