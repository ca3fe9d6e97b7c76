"""Quantities as people read them: seconds, times, bytes, counts."""

from datetime import UTC, datetime, timedelta

_TIMES = ((1.0, "s"), (60.0, "min"), (3600.0, "h"), (86400.0, "d"))
_SECONDS_BEFORE_NEXT = (99.5, 99.5 * 60, 48 * 3600.0)
SIZES = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MISSING = "—"


def duration(seconds: float | None) -> str:
    """Two figures and a unit: ``0.4 s``, ``48 s``, ``14 min``, ``3.2 h``, ``6 d``; ``—`` if it is not known."""
    if seconds is None:
        return MISSING
    seconds = max(0.0, seconds)
    step = sum(seconds >= limit for limit in _SECONDS_BEFORE_NEXT)
    scale, unit = _TIMES[step]
    return f"{_two_figures(seconds / scale, keep_zero=unit == 's')} {unit}"


def size(count: float | None) -> str:
    """Two figures or more and a unit: ``512 B``, ``1.5 MiB``, ``700 GiB``; ``—`` if it is not known."""
    if count is None:
        return MISSING
    step, value = 0, float(max(0.0, count))
    while value >= 1023.5 and step < len(SIZES) - 1:
        value, step = value / 1024, step + 1
    return f"{value:.0f} B" if step == 0 else f"{_two_figures(value, keep_zero=True)} {SIZES[step]}"


def number(count: int) -> str:
    """With thousands apart: ``99,302``."""
    return f"{count:,}"


def utc_text(at_us: int) -> str:
    """A time of UTC microseconds: ``2026-12-01 09:30:00.250 UTC``."""
    return f"{(EPOCH + timedelta(microseconds=at_us)).strftime('%Y-%m-%d %H:%M:%S.%f')[:-3]} UTC"


def plural(count: int, one: str, many: str = "") -> str:
    """``1 region``, ``200 regions``."""
    return f"{number(count)} {one if count == 1 else many or one + 's'}"


def _two_figures(value: float, *, keep_zero: bool) -> str:
    if value >= 9.95:
        return f"{value:.0f}"
    text = f"{value:.1f}"
    return text if keep_zero else text.removesuffix(".0")
