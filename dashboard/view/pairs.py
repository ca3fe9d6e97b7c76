"""A pair: one model in one region, with its word."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from modelcast.schemas.records import RegionState, VersionState
from modelcast.schemas.words import Limits, Word, counts, word_of


@dataclass(frozen=True, slots=True)
class Pair:
    """One model in one region.

    Attributes:
        model: its name.
        row: what the tracker reports of it, without the pods.
        word: how it stands.
        since_us: since when, UTC microseconds; of what is behind: when the store received the entry; 0: not known.
        until_us: when the word changes by the clock alone; 0: never.
    """

    model: str
    row: RegionState
    word: Word
    since_us: int
    until_us: int

    @property
    def counted(self) -> bool:
        """Whether it counts for the model's word and in every "n of n"."""
        return counts(self.row)


@dataclass(frozen=True, slots=True)
class ModelView:
    """One model as it is shown.

    Attributes:
        state: what the tracker reports, without regions.
        pairs: its pairs, by region.
        word: the worst of the counted pairs.
        appended_us: up to when all that regions reported is in it, by this machine's clock.
        source: where it was read: ``kafka`` or ``redis``.
        until_us: when a pair's word changes by the clock alone; 0: never.
        words: how many counted pairs have each word.
        troubled: the counted pairs whose word a person wants to see.
    """

    state: VersionState
    pairs: Mapping[str, Pair]
    word: Word
    appended_us: int
    source: str
    until_us: int
    words: Mapping[Word, int]
    troubled: tuple[Pair, ...]


def make_pair(state: VersionState, row: RegionState, before: Pair | None, now_us: int, limits: Limits) -> Pair:
    """The pair that a row of a state means; ``before`` tells since when."""
    row = replace(row, pods=())
    worded = word_of(row, now_us, limits, alarm=bool(state.alarm))
    return Pair(state.model, row, worded.word, _since_us(worded.word, row, before, now_us), worded.until_us)


def _since_us(word: Word, row: RegionState, before: Pair | None, now_us: int) -> int:
    if word is Word.SILENT:
        return row.heard_at_us if row.silent else row.read_at_us
    if row.behind_since_us:
        return row.behind_since_us
    if before is None:
        return 0
    return before.since_us if before.word is word else now_us
