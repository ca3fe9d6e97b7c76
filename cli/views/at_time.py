"""``modelcast history MODEL --at TIME``: what every region served then, how well that is known, what it should have."""

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from modelcast.cli.configured import load, origin_registry
from modelcast.cli.console import Format, TextTable, emit
from modelcast.cli.options import seconds_of
from modelcast.schemas.errors import NotFound, UsageError
from modelcast.schemas.names import check_region
from modelcast.schemas.quantities import MISSING

if TYPE_CHECKING:
    from modelcast.schemas.history.aspired import AspiredAt
    from modelcast.schemas.history.timeline import ServedAt

_CLOCK = re.compile(r"([01]?[0-9]|2[0-3]):([0-5][0-9])(?::([0-5][0-9]))?")
_AGO = re.compile(r"(.+?)\s*(?:ago)?")
_HINT = "write 2026-11-30T03:41Z, 03:41 (local time, the last one), or how long ago, as in 20m"


def time_of(text: str, now: datetime) -> datetime:
    """Read a time as people type it; ``now`` is local time with its zone.

    Raises:
        UsageError: it is none, or lies in the future.
    """
    at = _read(text.strip(), now)
    if at > now:
        raise UsageError(f"{text[:40]!r} lies in the future", subject="--at", hint=_HINT)
    return at


def _read(text: str, now: datetime) -> datetime:
    if clock := _CLOCK.fullmatch(text):
        at = now.replace(hour=int(clock[1]), minute=int(clock[2]), second=int(clock[3] or 0), microsecond=0)
        return at if at <= now else at - timedelta(days=1)
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        pass
    else:
        return at if at.tzinfo is not None else at.replace(tzinfo=now.tzinfo)
    try:
        ago = _AGO.fullmatch(text)
        return now - timedelta(seconds=seconds_of(ago[1] if ago else text))
    except (UsageError, OverflowError):
        raise UsageError(f"{text[:40]!r} is no time", subject="--at", hint=_HINT) from None


def show_at(model: str, at: str, region: str | None, output: Format) -> None:
    """Answer for one region, or for all that were ever spoken of."""
    from modelcast.infra.history import KafkaRecent, ModelHistory

    then = time_of(at, datetime.now(UTC).astimezone())
    at_us = round(then.timestamp() * 1_000_000)
    named = check_region(region) if region is not None else None
    settings = load()
    pairs = ModelHistory(origin_registry(settings), model, recent=KafkaRecent(settings)).at(at_us, named)
    if not pairs:
        hint = "trackers archive it while they run (tracker.history); `modelcast history` has what was aspired"
        raise NotFound("nothing is archived of what was served", subject=model, hint=hint)
    table = TextTable("REGION", "SERVED", "KNOWN", "HOW", "ASPIRED", "BY", "WHY", box=None)
    table.title = f"{model} at {then:%Y-%m-%d %H:%M:%S %Z}"
    table.title_justify = "left"
    for pair in pairs:
        aspired = pair.aspired
        table.add_row(
            pair.region,
            served_text(pair.served),
            pair.served.certainty.value,
            how_text(pair.served, then),
            _version(aspired.version) + (f" ({aspired.held})" if aspired.held else ""),
            aspired.by,
            _why(aspired),
        )
    emit({"model": model, "at_us": at_us, "regions": pairs}, output, table)


def served_text(served: "ServedAt") -> str:
    """The version, or both that it may have been."""
    before = _served(served)
    if served.after is None or served.certainty.value != "BETWEEN":
        return before
    return f"{before} or {_version(served.after.version)}"


def _served(served: "ServedAt") -> str:
    change = served.change
    if change is None:
        return MISSING
    if change.version is not None:
        return f"{change.version}, when last heard" if served.certainty.value == "UNKNOWN" else f"{change.version}"
    if not change.pods_expected:
        return MISSING
    return f"no one version ({change.pods_serving} of {change.pods_expected} pods serve the aspired version)"


def how_text(served: "ServedAt", then: datetime) -> str:
    """Between which reports, or why it is not known, in the zone of ``then``."""
    since, until = _clock(served.from_us, then), _clock(served.until_us, then)
    match served.certainty.value:
        case "CONFIRMED":
            return f"by reports since {since}"
        case "BETWEEN":
            return f"it changed between {since} and {until}"
    span = f" from {since}" if served.from_us else ""
    span += f" until {until}" if served.until_us else ""
    return served.why + span


def _clock(at_us: int, then: datetime) -> str:
    if not at_us:
        return MISSING
    at = datetime.fromtimestamp(at_us / 1e6, then.tzinfo)
    return f"{at:%H:%M:%S}" if at.date() == then.date() else f"{at:%Y-%m-%d %H:%M:%S}"


def _version(version: int | None) -> str:
    return MISSING if version is None else str(version)


def _why(aspired: "AspiredAt") -> str:
    if not aspired.kind:
        return ""
    return f"{aspired.kind.lower()}, generation {aspired.generation}" + (f": {aspired.why}" if aspired.why else "")
