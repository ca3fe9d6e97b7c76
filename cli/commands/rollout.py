"""``modelcast rollout forecast``: how long a candidate would have to meet traffic before anything is shown of it."""

from typing import TYPE_CHECKING, Annotated

import typer

from modelcast.cli.console import Format, TextTable, emit, out
from modelcast.cli.options import Output
from modelcast.schemas.errors import UsageError
from modelcast.schemas.quantities import duration

if TYPE_CHECKING:
    from modelcast.schemas.evidence.forecast import Forecast, Wait

rollout = typer.Typer(
    no_args_is_help=True, help="How long a new version must meet traffic until it is proved harmless."
)


def register(app: typer.Typer) -> None:
    """Add ``rollout`` to the command line."""
    app.add_typer(rollout, name="rollout")


@rollout.command()
def forecast(
    requests_per_second: Annotated[
        float,
        typer.Option(
            "--requests-per-second", help="Requests per second of both versions together.", show_default=False
        ),
    ],
    error_rate: Annotated[
        str, typer.Option("--error-rate", help="Of the version that serves now: 0.5% or 0.005.", show_default=False)
    ],
    share: Annotated[
        list[str] | None,
        typer.Option("--share", help="Of the candidate: 1% or 0.01 (several times). Default: 1, 10 and 50 %."),
    ] = None,
    output: Output = Format.table,
) -> None:
    """How long until a candidate is shown to be harmful or harmless, by steady traffic. Reads and changes nothing."""
    from modelcast.schemas.evidence.forecast import forecast as forecast_of
    from modelcast.schemas.evidence.forecast import sentence

    errors = _fraction(error_rate, "--error-rate")
    shares = [_fraction(each, "--share") for each in share or ["1%", "10%", "50%"]]
    found = [forecast_of(requests_per_second, errors, each) for each in shares]
    emit(found, output, _table(found))
    if output is Format.table:
        for each in found:
            out.print(sentence(each))


def _table(found: "list[Forecast]") -> TextTable:
    shown = [f"{wait.ratio:g}x SHOWN HARMFUL IN" for wait in found[0].harmful]
    limit = f"< {found[0].harmless.ratio:g}x PROVEN IN"
    table = TextTable("SHARE", *shown, limit, box=None, caption="median (nine of ten)", caption_justify="left")
    for each in found:
        waits = [*each.harmful, each.harmless]
        table.add_row(f"{100 * each.share:g} %", *(_wait_text(wait) for wait in waits))
    return table


def _wait_text(wait: "Wait") -> str:
    if wait.median_seconds is None:
        return "-"
    late = duration(wait.nine_of_ten_seconds) if wait.nine_of_ten_seconds is not None else "more"
    return f"{duration(wait.median_seconds)} ({late})"


def _fraction(text: str, option: str) -> float:
    """``0.5%`` or ``0.005``.

    Raises:
        UsageError: it is neither.
    """
    number = text.strip().removesuffix("%")
    try:
        value = float(number)
    except ValueError:
        raise UsageError(f"bad {option} {text!r}", hint="write 0.5% or 0.005") from None
    return value / 100 if text.strip().endswith("%") else value
