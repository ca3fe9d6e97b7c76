"""Each status word, when it stands, and how quantities read."""

from dataclasses import replace

import pytest

from modelcast.schemas.records import RegionState
from modelcast.schemas.states import State
from modelcast.schemas.words import LOOKS, Limits, Word, counts, duration, rank, size, word_of, worst
from tests.dashboard.makers import row

SECOND = 1_000_000
NOW = 1_800_000_000 * SECOND
LIMITS = Limits()


def timed(it: RegionState, behind: float, moved: float, read: float) -> RegionState:
    """The row, of which things were so many seconds ago; 0: it is not behind."""
    since_us = NOW - int(behind * SECOND) if behind else 0
    ago = {"moved_at_us": NOW - int(moved * SECOND), "read_at_us": NOW - int(read * SECOND)}
    return replace(it, behind_since_us=since_us, **ago)


def word(it: RegionState, *, alarm: bool = False, behind: float = 0, moved: float = 1, read: float = 1) -> Word:
    """The word of a row; ages in seconds."""
    return word_of(timed(it, behind, moved, read), NOW, LIMITS, alarm=alarm).word


BEHIND = row("eu", state=State.FETCHING, served_version=6)
TABLE = [
    ("all is well", row("eu"), {}, Word.OK),
    ("an alarm", row("eu"), {"alarm": True}, Word.ALARM),
    ("an alarm of a silent region", row("eu", silent=True), {"alarm": True}, Word.ALARM),
    ("silent", row("eu", silent=True), {}, Word.SILENT),
    ("silent while it refuses", row("eu", silent=True, state=State.QUARANTINED), {}, Word.SILENT),
    (
        "never heard of, and expected",
        row("eu", state=None, silent=True, heard_at_us=0, served_version=None),
        {},
        Word.NONE,
    ),
    ("heard, and has not reported yet", row("eu", state=None, served_version=None), {"behind": 5}, Word.LAG),
    ("reported once, and no heartbeat is known", row("eu", silent=True, heard_at_us=0), {}, Word.SILENT),
    ("not read back for long", row("eu"), {"read": 601}, Word.SILENT),
    ("read back in time", row("eu"), {"read": 599}, Word.OK),
    ("refuses what is wanted", row("eu", aspired_version=8, refused_version=8), {}, Word.REFUSED),
    ("refused the newest, and a person went back", row("eu", refused_version=8), {}, Word.OK),
    ("quarantined", row("eu", state=State.QUARANTINED), {"behind": 5}, Word.REFUSED),
    ("refuses while it fails", row("eu", state=State.FAILED, aspired_version=8, refused_version=8), {}, Word.REFUSED),
    ("failed", row("eu", state=State.FAILED, served_version=6), {"behind": 5}, Word.FAILED),
    (
        "behind, and nothing moves",
        BEHIND,
        {"behind": 61, "moved": 61},
        Word.STALLED,
    ),
    (
        "behind for long, and it moves",
        BEHIND,
        {"behind": 61, "moved": 59},
        Word.LATE,
    ),
    ("behind for a moment", BEHIND, {"behind": 59}, Word.LAG),
    ("behind since no one knows when", row("eu", state=State.STAGED, served_version=6), {}, Word.LAG),
    ("one pod of two", row("eu", pods_serving=1), {"behind": 5}, Word.LAG),
    (
        "no pods, a state of its own",
        row("eu", pods_serving=0, pods_expected=0, served_version=None),
        {"behind": 70},
        Word.EMPTY,
    ),
    ("pinned, and serves it", row("eu", left_out="pinned", pinned_version=7), {}, Word.HELD),
    ("paused", row("eu", paused=True), {}, Word.HELD),
    ("pinned, and not there yet", row("eu", pinned_version=7, served_version=6), {"behind": 5}, Word.LAG),
    ("outside the placement, serves the older", row("eu", left_out="placement"), {}, Word.OUT),
    ("outside the placement, and its pods fail", row("eu", left_out="placement", state=State.FAILED), {}, Word.FAILED),
    ("taken out of service", row("eu", left_out="unexpected", silent=True), {}, Word.OUT),
    ("nothing is to be served", row("eu", aspired_version=None, served_version=None), {}, Word.NONE),
]


@pytest.mark.parametrize(("it", "ages", "expected"), [pytest.param(r, a, w, id=name) for name, r, a, w in TABLE])
def test_the_word_of_a_pair(it: RegionState, ages: dict[str, float], expected: Word) -> None:
    assert word(it, **ages) is expected  # type: ignore[arg-type]


def test_every_word_is_in_the_table() -> None:
    assert {expected for *_, expected in TABLE} == set(Word)


@pytest.mark.parametrize(
    ("it", "behind", "moved", "changes_in", "into"),
    [
        (row("eu"), 0, 1, 600, Word.SILENT),  # not read back again
        (BEHIND, 30, 1, 30, Word.LATE),
        (BEHIND, 90, 20, 40, Word.STALLED),
    ],
)
def test_a_word_says_until_when_it_stands_by_the_clock_alone(
    it: RegionState, behind: int, moved: int, changes_in: int, into: Word
) -> None:
    it = timed(it, behind, moved, 0)
    now = word_of(it, NOW, LIMITS)
    assert now.until_us == NOW + changes_in * SECOND + 1
    assert word_of(it, now.until_us - 1, LIMITS).word is now.word
    assert word_of(it, now.until_us, LIMITS).word is into


def test_what_only_news_can_change_has_no_end() -> None:
    for it in (row("eu", silent=True), row("eu", state=State.QUARANTINED), row("eu", state=State.FAILED)):
        assert word_of(it, NOW, LIMITS).until_us == 0


def test_words_are_ordered_worst_first_and_the_worst_is_taken() -> None:
    assert worst([Word.OK, Word.LAG, Word.SILENT]) is Word.SILENT
    assert worst([]) is Word.NONE
    assert sorted(Word, key=rank) == list(Word)


def test_what_is_outside_does_not_count_and_what_is_pinned_does() -> None:
    assert [counts(row("eu", left_out=why)) for why in ("", "pinned", "placement", "unexpected")] == [
        True,
        True,
        False,
        False,
    ]


def test_every_word_looks_different_without_its_colour() -> None:
    assert set(LOOKS) == set(Word)
    assert len({look.shape for look in LOOKS.values()}) == len(LOOKS)
    assert {word for word, look in LOOKS.items() if look.serves_wanted} == {Word.OK, Word.HELD}


def luminance(colour: str) -> float:
    channels = (int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("word_", list(Word))
def test_every_word_can_be_read_on_both_grounds(word_: Word) -> None:
    light, dark = luminance(LOOKS[word_].light), luminance(LOOKS[word_].dark)
    assert 1.05 / (light + 0.05) >= 4.5
    assert (dark + 0.05) / (luminance("#111111") + 0.05) >= 4.5


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "—"), (-3, "0.0 s"), (0.04, "0.0 s"), (0.42, "0.4 s"), (9.94, "9.9 s"), (9.96, "10 s"), (48.4, "48 s"),
        (99.4, "99 s"), (99.6, "1.7 min"), (180, "3 min"), (372, "6.2 min"), (840, "14 min"), (5_940, "99 min"),
        (5_999, "1.7 h"), (11_520, "3.2 h"), (36_000, "10 h"), (172_799, "48 h"), (172_800, "2 d"), (518_400, "6 d"),
        (216_000, "2.5 d"),
    ],
)  # fmt: skip
def test_durations_have_two_figures(seconds: float | None, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (None, "—"),
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (1536, "1.5 KiB"),
        (12 * 2**20, "12 MiB"),
        (700 * 2**30, "700 GiB"),
    ],
)
def test_sizes_have_binary_units(count: float | None, text: str) -> None:
    assert size(count) == text
