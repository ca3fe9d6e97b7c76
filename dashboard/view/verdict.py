"""The verdict over everything: one status and one sentence."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from modelcast.dashboard.view.overview import Overview
from modelcast.dashboard.view.pairs import Pair
from modelcast.dashboard.view.problems import NO_PAIRS, Problem
from modelcast.schemas.quantities import duration, number, plural
from modelcast.schemas.statuses import LOOKS, Status, rank

SILENT_SHARE_MAX = 0.3
"""A smaller share of silent regions is named, but is no verdict over all."""
NO_TRACKER = "No tracker has reported in time: what is shown is its last report."
OF_PAIRS = "{}. Consumer groups, probes and dead letters are not looked at here: modelcast top."
SENTENCE_CHARS_MAX = 200
_OTHERS = {
    "group": ("{} behind", "consumer group"),
    "probe": ("{} lost", "probe"),
    "dead-letters": ("{} of dead letters", "kind"),
    "candidate": ("{} cut off, held or unheard", "candidate"),
}
_SAYING = {
    Status.ALARM: "raise an alarm",
    Status.REFUSED: "have a version that is refused",
    Status.FAILED: "fail to load",
    Status.STALLED: "stand still",
    Status.LATE: "are late",
    Status.LAG: "are rolling out",
    Status.EMPTY: "have no pods",
    Status.NONE: "were never reported",
    Status.SILENT: "have not reported",
}


@dataclass(frozen=True, slots=True)
class OverviewVerdict:
    """The head of the page.

    Attributes:
        status: the worst that counts.
        label: the status as it is shown, such as ``SILENT (1 of 200)``.
        sentence: for people.
        notes: what else is so, each a few words.
        models: how many there are.
        regions: how many there are.
        models_in_trouble: how many have a status that a person wants to see.
        regions_in_trouble: how many regions those are in.
        problems: how many lines tell what is wrong.
        pairs: how many counted pairs have each status.
    """

    status: Status
    label: str
    sentence: str
    notes: tuple[str, ...]
    models: int
    regions: int
    models_in_trouble: int
    regions_in_trouble: int
    problems: int
    pairs: Mapping[str, int]


def overview_verdict(
    overview: Overview, found: Sequence[Problem], noted: Sequence[str] = (), *, of_pairs: bool = False
) -> OverviewVerdict:
    """The verdict over all models and regions. One silent region of many is named, and is no verdict over the rest.

    Args:
        overview: all models and regions.
        found: what is wrong, worst first.
        noted: what else is to be said, a few words each.
        of_pairs: whether pairs alone were looked at: then it is not said that nothing is wrong.
    """
    pairs, counts = list(overview.troubled()), overview.counts()
    regions = overview.regions
    silent = sorted({p.row.region for p in pairs if p.status is Status.SILENT and p.row.silent})
    unread = any(p.status is Status.SILENT and not p.row.silent for p in pairs)
    few_silent = bool(silent) and not unread and len(silent) < SILENT_SHARE_MAX * len(regions)
    statuses = {p.status for p in found if p.cause != "tracker"} - ({Status.SILENT} if few_silent else set())
    status = min(statuses, key=rank, default=Status.OK if overview.models else Status.NONE)
    label = status.value
    if few_silent and (status is Status.OK or rank(status) >= rank(Status.LAG)):
        status, label = Status.SILENT, f"SILENT ({number(len(silent))} of {number(len(regions))})"
    unspoken = bool(overview.models) and any(p.cause == "tracker" and p.pairs == len(overview.models) for p in found)
    if unspoken:
        status, label = Status.SILENT, Status.SILENT.value
    of_status = [p for p in pairs if p.status is status]
    told = next((p for p in found if p.status is status), None) if not of_status else None
    if unspoken:
        sentence = NO_TRACKER
    elif told is not None and told.cause in NO_PAIRS:
        sentence = _told(told)
    elif status is Status.OK and of_pairs:
        sentence = OF_PAIRS.format(_well(counts))
    else:
        sentence = _sentence(overview, status, of_status, counts)
    return OverviewVerdict(
        status=status,
        label=label,
        sentence=sentence,
        notes=(*_notes(found, status, len(silent), told), *noted),
        models=len(overview.models),
        regions=len(regions),
        models_in_trouble=len({p.model for p in pairs}),
        regions_in_trouble=len({p.row.region for p in pairs}),
        problems=len(found),
        pairs={w.value: counts[w] for w in LOOKS if counts[w]},
    )


def _sentence(overview: Overview, status: Status, pairs: Sequence[Pair], counts: Counter[Status]) -> str:
    if not overview.models:
        return "Nothing is known yet: nothing was published, or no tracker runs."
    all_models, all_regions = len(overview.models), len(overview.regions)
    models, regions = len({p.model for p in pairs}), {p.row.region for p in pairs}
    if status is Status.OK:
        return f"Nothing is wrong. {_well(counts)}."
    if status is Status.SILENT:
        who = next(iter(regions)) if len(regions) == 1 else f"{number(len(regions))} of {plural(all_regions, 'region')}"
        if not any(p.row.silent for p in pairs):
            return f"The pods of {who} were not read back for {duration(overview.limits.read_back_seconds)}."
        each = "has" if len(regions) == 1 else "have"
        return f"{who} {each} not reported{'' if all(p.row.silent for p in pairs) else ' or read back pods'} in time."
    hangs = _hangs(pairs) if status is Status.LAG else ""
    saying = "are behind" if hangs else _SAYING[status]
    saying = _singular(saying) if models == 1 else saying
    who = pairs[0].model if models == 1 == all_models else f"{number(models)} of {plural(all_models, 'model')}"
    return f"{who} {saying} in {number(len(regions))} of {plural(all_regions, 'region')}{hangs}."


def _hangs(pairs: Sequence[Pair]) -> str:
    """What keeps those that are behind from coming on, where each of them names an error; "": they are on their way."""
    if not all(p.row.error for p in pairs):
        return ""
    return f": {min(pairs, key=lambda p: p.since_us).row.error[:SENTENCE_CHARS_MAX].rstrip('.')}"


def _well(counts: Counter[Status]) -> str:
    served = counts[Status.OK] + counts[Status.HELD]
    held = f", {number(counts[Status.HELD])} of them held" if counts[Status.HELD] else ""
    return f"{plural(served, 'pair')} of model and region OK{held}"


def _told(problem: Problem) -> str:
    """A problem that no pair tells of, in a sentence."""
    return f"{problem.title}: {problem.reason[:SENTENCE_CHARS_MAX].rstrip('.')}."


def _singular(verb: str) -> str:
    head, _, rest = verb.partition(" ")
    head = {"are": "is", "were": "was", "have": "has"}.get(head, head + "s")
    return f"{head} {rest}"


def _notes(found: Sequence[Problem], status: Status, silent: int, told: Problem | None) -> tuple[str, ...]:
    refused = sum(p.status is Status.REFUSED for p in found)
    late = Counter(p.status for p in found if p.cause not in NO_PAIRS)
    others = Counter(p.cause for p in found if p.cause in NO_PAIRS and p is not told)
    notes = [f"{plural(silent, 'region')} silent"] if silent and status is not Status.SILENT else []
    if refused and status is not Status.REFUSED:
        notes.append(f"{plural(refused, 'version')} refused")
    notes += [
        f"{number(late[each])} × {each.value}"
        for each in (Status.FAILED, Status.STALLED, Status.LATE)
        if late[each] and each is not status
    ]
    notes += [saying.format(plural(others[cause], one)) for cause, (saying, one) in _OTHERS.items() if others[cause]]
    return tuple(notes)
