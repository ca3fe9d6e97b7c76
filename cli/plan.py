"""``modelcast plan``: how a region would bring a version, and why so."""

import re
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from modelcast.cli.configured import load, origin_registry, warnings_only
from modelcast.cli.console import Format, TextTable, emit, say
from modelcast.cli.options import Output
from modelcast.cli.views.registry import ReferenceArgument, read_log
from modelcast.schemas.errors import UsageError
from modelcast.schemas.names import Reference
from modelcast.schemas.quantities import duration, size

if TYPE_CHECKING:
    from modelcast.deltas.fetch.planning.explain import Considered, Explained

FILES_SHOWN_MAX = 50

_RATE = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([kMGT]?)(?:(bit|b)|B)?(?:/s|ps)?", re.ASCII)
_FACTORS = {"": 1.0, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}


def register(app: typer.Typer) -> None:
    """Add this command to the command line."""
    app.command()(plan)


def rate_of(text: str) -> float:
    """Bytes a second, of ``100Mbit``, ``12.5MB/s`` or plain bytes.

    Raises:
        UsageError: it is none of these.
    """
    match = _RATE.fullmatch(text.strip())
    rate = float(match[1]) * _FACTORS[match[2]] / (8 if match[3] else 1) if match else 0.0
    if rate <= 0:
        raise UsageError(f"bad link speed {text!r}", hint="write 100Mbit, 1Gbit, 12.5MB or bytes a second")
    return rate


def plan(
    reference: ReferenceArgument,
    region: Annotated[str, typer.Option("--region", "-r", help="Whose bucket and link.")],
    held: Annotated[
        list[int] | None,
        typer.Option("--from", min=1, help="Suppose that the region holds this version, and no other."),
    ] = None,
    link: Annotated[str | None, typer.Option("--link", help="The long link's speed, as in 100Mbit or 12MB.")] = None,
    output: Output = Format.table,
) -> None:
    """How a region would bring a version: every way with bytes and seconds, which is taken, and why.

    What may fail carries a risk: a share of the whole's seconds. The way with the least sum of both is taken.
    """
    from modelcast.cli import plan_knowledge as known
    from modelcast.consumers.fetch import in_words, origin_bytes_of
    from modelcast.infra.stores.configured import origin_store, region_store

    warnings_only()
    rate = rate_of(link) if link is not None else None
    settings, wanted = load(), Reference.parse(reference)
    own = region_store(settings, region)
    origin = origin_store(settings)
    log, _ = read_log(origin_registry(settings), wanted.model)
    update = log.resolve(wanted, region)
    speeds, known_from = known.speeds_of(settings, region, rate)
    holding = known.supposed(log, held) if held else known.reported(own, update, time.time_ns() // 1000)
    size_min = settings.publish.delta_size_min_bytes
    planned = known.planned(origin, None if held else own, log, update, holding, speeds, size_min)
    words = "here already" if holding.wanted else in_words(planned.steps)
    crossing, seconds = origin_bytes_of(planned.steps), sum(file.chosen.seconds for file in planned.files)
    left_out = not log.allowed(update.version, region)
    total = sum(step.file.size_bytes for step in planned.steps)
    data = {
        "model": update.model,
        "version": update.version,
        "region": region,
        "way": words,
        "bytes_planned": crossing,
        "bytes_total": total,
        "seconds_predicted": seconds,
        "left_out": "placement" if left_out else "",
        "holds": [{"version": v, "why": why} for v, why in sorted(holding.versions.items())],
        "holds_it": holding.wanted,
        "held_seconds_ago": holding.reported_seconds_ago,
        "bucket_lacks": holding.lost,
        "link_bytes_per_second": speeds.origin_bytes_per_second,
        "link_known_from": known_from,
        "speeds": planned.chooser.speeds(),
        "announced": update.delta_hints,
        "deltas_offered": len(planned.chooser.offers),
        "files": planned.explained,
    }
    if output is Format.table:
        if left_out:
            placed = ", ".join(update.placement)
            say(f"{update.model}/{update.version} is placed in {placed} only: {region} will not fetch it")
        say(f"{update.model}/{update.version}: {known.holding_in_words(holding, region)}")
        say(f"long link: {size(speeds.origin_bytes_per_second)}/s ({known_from})")
    emit(data, output, _table(planned.explained))
    if output is Format.table:
        say(f"{words}: {size(crossing)} of {size(total)} cross, about {duration(seconds)}")


def _table(files: Sequence["Explained"]) -> TextTable:
    table = TextTable("FILE", "SIZE", "", "WAY", "CROSSES", "SECONDS", "+ RISK", "= COST", "WHY", box=None)
    for file in files[:FILES_SHOWN_MAX]:
        for number, way in enumerate(file.ways):
            table.add_row(
                file.path if number == 0 else "",
                size(file.size_bytes) if number == 0 else "",
                "→" if way.chosen else "",
                Text(way.label, style="bold green" if way.chosen else ""),
                size(way.origin_bytes),
                *_costs(way),
                way.why,
            )
    if len(files) > FILES_SHOWN_MAX:
        table.add_row(f"… and {len(files) - FILES_SHOWN_MAX} more files (-o json has all)")
    return table


def _costs(way: "Considered") -> tuple[str, str, str]:
    if way.seconds is None or way.risk_seconds is None:
        return "-", "-", "-"
    return f"{way.seconds:.2f}", f"{way.risk_seconds:.2f}", f"{way.seconds + way.risk_seconds:.2f}"
