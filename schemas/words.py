"""Status words: how a model stands in a region, in one word. Command line, page, API, metrics and alerts use these.

``word_of`` is a table from top to bottom; the first line that matches wins. What is late only because time passes
needs no news: the answer carries ``until_us``, when it changes by the clock alone.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from modelcast.schemas.records import RegionState
from modelcast.schemas.states import State

MICROS = 1_000_000
PLACEMENT, UNEXPECTED = "placement", "unexpected"


class Word(StrEnum):
    """Worst first. ``LOOKS`` says what each means."""

    ALARM = "ALARM"
    SILENT = "SILENT"
    REFUSED = "REFUSED"
    FAILED = "FAILED"
    STALLED = "STALLED"
    LATE = "LATE"
    LAG = "LAG"
    EMPTY = "EMPTY"
    HELD = "HELD"
    OUT = "OUT"
    NONE = "NONE"
    OK = "OK"


@dataclass(frozen=True, slots=True)
class Look:
    """How a word looks everywhere. Shapes differ, so that no one has to tell colours apart.

    Attributes:
        shape: one character, for a cell of the matrix.
        light: its colour on white, ``#rrggbb``.
        dark: its colour on black.
        means: a sentence for people.
        serves_wanted: whether such a pair counts as serving what the log wants there.
    """

    shape: str
    light: str
    dark: str
    means: str
    serves_wanted: bool = False


LOOKS: dict[Word, Look] = {
    Word.ALARM: Look("‼", "#7f1d1d", "#fecaca", "bytes that are not in the log, a foreign registry or a rewritten log"),
    Word.SILENT: Look("▯", "#6b21a8", "#c4a1ff", "no report came in time; what is shown is the last report"),
    Word.REFUSED: Look("⊘", "#9d174d", "#f9a8d4", "the aspired version is damaged or quarantined; the old one serves"),
    Word.FAILED: Look("✕", "#b42318", "#ff8a80", "tried, and will be tried again"),
    Word.STALLED: Look("▬", "#a33c00", "#fb923c", "behind, and nothing moves"),
    Word.LATE: Look("▮", "#a33c00", "#fb923c", "behind for longer than the budget"),
    Word.LAG: Look("◢", "#7a5c00", "#facc15", "behind, within the budget"),
    Word.EMPTY: Look("○", "#595959", "#a8a8a8", "the region has no pods: what it has staged, nothing serves"),
    Word.HELD: Look("=", "#1d4ed8", "#8ab4f8", "pinned or paused by a person, and serves what it is held at", True),
    Word.OUT: Look(" ", "#595959", "#a8a8a8", "outside the placement, or not among the expected regions"),
    Word.NONE: Look("?", "#595959", "#a8a8a8", "never reported"),
    Word.OK: Look("·", "#1a7f37", "#4ade80", "every pod was read back in time and serves the aspired version", True),
}
_RANK = {word: rank for rank, word in enumerate(Word)}
TROUBLE = frozenset(
    {Word.ALARM, Word.SILENT, Word.REFUSED, Word.FAILED, Word.STALLED, Word.LATE, Word.LAG, Word.EMPTY, Word.NONE}
)
"""Words that a person wants to see; the others are as they should be."""
BEHIND = frozenset({Word.FAILED, Word.STALLED, Word.LATE, Word.LAG})


@dataclass(frozen=True, slots=True)
class Limits:
    """When a word turns into a worse one.

    Attributes:
        late_seconds: behind for longer is LATE.
        stalled_seconds: behind, and nothing moved for longer, is STALLED.
        read_back_seconds: what was not read back for longer is SILENT: no one knows whether it still serves.
    """

    late_seconds: float = 60.0
    stalled_seconds: float = 60.0
    read_back_seconds: float = 600.0


@dataclass(frozen=True, slots=True)
class Worded:
    """A word, and until when it stands if nothing is heard (UTC microseconds; 0: until something is heard)."""

    word: Word
    until_us: int = 0


def counts(row: RegionState) -> bool:
    """Whether the pair counts: for the model's word, and in every "n of n"."""
    return row.left_out not in (PLACEMENT, UNEXPECTED)


def serves_wanted(row: RegionState) -> bool:
    """Whether every expected pod serves what the log wants there, by the last report."""
    return (
        row.aspired_version is not None
        and row.served_version == row.aspired_version
        and 0 < row.pods_expected <= row.pods_serving
    )


def word_of(row: RegionState, now_us: int, limits: Limits, *, alarm: bool = False) -> Worded:
    """A pair's word at ``now_us``, by the clock of the tracker that wrote the row.

    Args:
        row: the region's row of the model's state.
        now_us: UTC microseconds.
        limits: when a word turns into a worse one.
        alarm: whether the model has an alarm.
    """
    if alarm:
        return Worded(Word.ALARM)
    if row.left_out == UNEXPECTED:
        return Worded(Word.OUT)  # before the rest: a region that was taken out of service is no trouble
    if row.unread or (row.silent and (row.heard_at_us or row.state is not None)):
        return Worded(Word.SILENT)
    if row.state is State.QUARANTINED or (row.refused_version is not None and not serves_wanted(row)):
        return Worded(Word.REFUSED)
    if row.state is State.FAILED:
        return Worded(Word.FAILED)
    reported = row.state is not None or not row.silent  # a region that is heard is on its way to its first report
    if row.state is not None and row.aspired_version is not None and not row.pods_expected:
        return Worded(Word.EMPTY)  # no lag of its own making: who scaled it to zero knows
    if reported and row.aspired_version is not None and not serves_wanted(row):
        return _behind(row, now_us, limits)
    if row.left_out == PLACEMENT:
        return Worded(Word.OUT)
    if row.state is None or row.aspired_version is None:
        return Worded(Word.NONE)
    expires_us = row.read_at_us + round(limits.read_back_seconds * MICROS)
    if now_us > expires_us:
        return Worded(Word.SILENT)
    return Worded(Word.HELD if row.paused or row.pinned_version is not None else Word.OK, expires_us + 1)


def _behind(row: RegionState, now_us: int, limits: Limits) -> Worded:
    stalled_us = row.moved_at_us + round(limits.stalled_seconds * MICROS) if row.moved_at_us else 0
    late_us = row.behind_since_us + round(limits.late_seconds * MICROS) if row.behind_since_us else 0
    if stalled_us and now_us > stalled_us:
        return Worded(Word.STALLED)
    soonest = min((at for at in (stalled_us, late_us) if at >= now_us), default=0)
    word = Word.LATE if late_us and now_us > late_us else Word.LAG
    return Worded(word, soonest + 1 if soonest else 0)


def rank(word: Word) -> int:
    """Sorts worst first."""
    return _RANK[word]


def worst(words: Iterable[Word]) -> Word:
    """The worst of them; NONE if there are none."""
    return min(words, key=_RANK.__getitem__, default=Word.NONE)


# --- quantities, as people read them ----------------------------------------------------------------------------

_TIMES = ((1.0, "s"), (60.0, "min"), (3600.0, "h"), (86400.0, "d"))
_SECONDS_BEFORE_NEXT = (99.5, 99.5 * 60, 48 * 3600.0)
SIZES = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
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


def plural(count: int, one: str, many: str = "") -> str:
    """``1 region``, ``200 regions``."""
    return f"{number(count)} {one if count == 1 else many or one + 's'}"


def _two_figures(value: float, *, keep_zero: bool) -> str:
    if value >= 9.95:
        return f"{value:.0f}"
    text = f"{value:.1f}"
    return text if keep_zero else text.removesuffix(".0")
