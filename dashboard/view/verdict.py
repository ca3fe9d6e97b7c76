"""One sentence: is everything as it should be, and if not, what and where."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from modelcast.dashboard.view.fleet import Fleet
from modelcast.dashboard.view.problems import Problem
from modelcast.schemas.words import LOOKS, Word, number, plural, rank

SILENT_SHARE_MAX = 0.3
"""A smaller share of silent regions is named, but is no verdict over the fleet."""
NO_TRACKER = "No tracker has reported in time: what is shown is its last report."
_SAYING = {
    Word.ALARM: "raise an alarm",
    Word.REFUSED: "have a version that is refused",
    Word.FAILED: "fail to load",
    Word.STALLED: "stand still",
    Word.LATE: "are late",
    Word.LAG: "are rolling out",
    Word.EMPTY: "have no pods",
    Word.NONE: "were never reported",
    Word.SILENT: "have not reported",
}


@dataclass(frozen=True, slots=True)
class FleetVerdict:
    """The head of the page.

    Attributes:
        word: the worst that counts.
        label: the word as it is shown, such as ``SILENT (1 of 200)``.
        sentence: for people.
        notes: what else is so, each a few words.
        models: how many there are.
        regions: how many there are.
        models_in_trouble: how many have a word that a person wants to see.
        regions_in_trouble: how many regions those are in.
        pairs: how many counted pairs have each word.
    """

    word: Word
    label: str
    sentence: str
    notes: tuple[str, ...]
    models: int
    regions: int
    models_in_trouble: int
    regions_in_trouble: int
    pairs: Mapping[str, int]


def fleet_verdict(fleet: Fleet, found: Sequence[Problem]) -> FleetVerdict:
    """The fleet's word and sentence. One silent region of many is named, and is no verdict over the rest."""
    pairs, counts = list(fleet.troubled()), fleet.counts()
    regions = fleet.regions
    silent = sorted({p.row.region for p in pairs if p.word is Word.SILENT and p.row.silent})
    unread = any(p.word is Word.SILENT and not p.row.silent for p in pairs)
    few_silent = bool(silent) and not unread and len(silent) < SILENT_SHARE_MAX * len(regions)
    words = {p.word for p in found if p.cause != "tracker"} - ({Word.SILENT} if few_silent else set())
    word = min(words, key=rank, default=Word.OK if fleet.models else Word.NONE)
    label = word.value
    if few_silent and (word is Word.OK or rank(word) >= rank(Word.LAG)):
        word, label = Word.SILENT, f"SILENT ({number(len(silent))} of {number(len(regions))})"
    unspoken = bool(fleet.models) and any(p.cause == "tracker" and p.pairs == len(fleet.models) for p in found)
    if unspoken:
        word, label = Word.SILENT, Word.SILENT.value
    of_word = [p for p in pairs if p.word is word]
    models_in, regions_in = {p.model for p in of_word}, {p.row.region for p in of_word}
    return FleetVerdict(
        word=word,
        label=label,
        sentence=NO_TRACKER if unspoken else _sentence(fleet, word, len(models_in), regions_in, counts),
        notes=_notes(found, word, len(silent)),
        models=len(fleet.models),
        regions=len(regions),
        models_in_trouble=len({p.model for p in pairs}),
        regions_in_trouble=len({p.row.region for p in pairs}),
        pairs={w.value: counts[w] for w in LOOKS if counts[w]},
    )


def _sentence(fleet: Fleet, word: Word, models: int, regions: set[str], counts: Counter[Word]) -> str:
    if not fleet.models:
        return "Nothing is known yet: nothing was published, or no tracker runs."
    all_models, all_regions = len(fleet.models), len(fleet.regions)
    if word is Word.OK:
        served = counts[Word.OK] + counts[Word.HELD]
        held = f", {number(counts[Word.HELD])} of them held" if counts[Word.HELD] else ""
        return f"Nothing is wrong. {plural(served, 'pair')} of model and region OK{held}."
    if word is Word.SILENT:
        who = next(iter(regions)) if len(regions) == 1 else f"{number(len(regions))} of {plural(all_regions, 'region')}"
        return f"{who} {'has' if len(regions) == 1 else 'have'} not reported in time."
    if models == 1 == all_models:
        name = next(iter(fleet.models))
        return f"{name} {_singular(_SAYING[word])} in {number(len(regions))} of {plural(all_regions, 'region')}."
    saying = _SAYING[word] if models != 1 else _singular(_SAYING[word])
    many = f"{number(models)} of {plural(all_models, 'model')} {saying}"
    return f"{many} in {number(len(regions))} of {plural(all_regions, 'region')}."


def _singular(verb: str) -> str:
    head, _, rest = verb.partition(" ")
    head = {"are": "is", "were": "was", "have": "has"}.get(head, head + "s")
    return f"{head} {rest}"


def _notes(found: Sequence[Problem], word: Word, silent: int) -> tuple[str, ...]:
    refused = sum(p.word is Word.REFUSED for p in found)
    late = Counter(p.word for p in found)
    notes = [f"{plural(silent, 'region')} silent"] if silent and word is not Word.SILENT else []
    if refused and word is not Word.REFUSED:
        notes.append(f"{plural(refused, 'version')} refused")
    notes += [
        f"{number(late[each])} × {each.value}"
        for each in (Word.FAILED, Word.STALLED, Word.LATE)
        if late[each] and each is not word
    ]
    return tuple(notes)
