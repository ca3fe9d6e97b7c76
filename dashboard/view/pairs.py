"""A pair: one model in one region, with its word."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from modelcast.schemas.records import RegionState, VersionState
from modelcast.schemas.words import Limits, PairFacts, Word, counts, first_facts, word_of


@dataclass(frozen=True, slots=True)
class Pair:
    """One model in one region.

    Attributes:
        model: its name.
        row: what the tracker reports of it, without the pods.
        word: how it stands.
        since_us: since when, UTC microseconds; of what is behind: when the store received the entry; 0: not known.
        until_us: when the word changes by the clock alone; 0: never.
        moved_at_us: when bytes or state last moved.
        behind_since_us: when the store received the oldest entry that is not served; 0: not behind.
        read_at_us: when it was last reported what its pods serve, by the tracker's clock.
    """

    model: str
    row: RegionState
    word: Word
    since_us: int
    until_us: int
    moved_at_us: int
    behind_since_us: int
    read_at_us: int

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
    facts = _facts(state, row, before, now_us)
    worded = word_of(facts, now_us, limits)
    since_us = _since_us(worded.word, row, facts.behind_since_us, before, now_us)
    times = facts.moved_at_us, facts.behind_since_us, facts.read_at_us
    return Pair(state.model, row, worded.word, since_us, worded.until_us, *times)


def _facts(state: VersionState, row: RegionState, before: Pair | None, now_us: int) -> PairFacts:
    first = first_facts(state, row, now_us)
    if before is None:
        return first
    return replace(
        first,
        moved_at_us=before.moved_at_us if _progress(before.row) == _progress(row) else now_us,
        read_at_us=before.read_at_us if before.row.reported_at_us == row.reported_at_us else state.updated_at_us,
    )


def _progress(row: RegionState) -> tuple[object, ...]:
    return (row.state, row.bytes_moved, row.pods_serving, row.staged_version, row.aspired_generation)


def _since_us(word: Word, row: RegionState, behind_since_us: int, before: Pair | None, now_us: int) -> int:
    if word is Word.SILENT:
        return row.heard_at_us if row.silent else row.reported_at_us
    if behind_since_us:
        return behind_since_us
    if before is None:
        return 0
    return before.since_us if before.word is word else now_us
