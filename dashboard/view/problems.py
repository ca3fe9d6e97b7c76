"""What is wrong, worst first, one line for one cause: a region, a version, else a pair."""

import shlex
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from modelcast.dashboard.view.overview import Overview
from modelcast.dashboard.view.pairs import Pair
from modelcast.schemas.records import RegionState
from modelcast.schemas.states import STALE_SECONDS
from modelcast.schemas.statuses import BEHIND, Status, rank

NAMES_KEPT = 8
REGION_SHARE = 0.5
"""So many of a region's models in trouble alike, and the region is the cause."""
GROUP_MIN = 3
REASON_CHARS_MAX = 1000
NO_PAIRS = frozenset({"group", "probe", "dead-letters", "candidate"})
"""Causes of problems that are in no count of pairs."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One line of what is wrong.

    Attributes:
        id: names what it is about: a region, a version, a model or a pair. It stays while that is in trouble, whatever
            its status; only where two lines are about one thing, all but the worst carry theirs.
        status: how it stands.
        cause: ``kafka``, ``tracker``, ``region``, ``version``, ``model``, ``pair``; of what is no pair (``NO_PAIRS``):
            ``group``, ``probe``, ``dead-letters`` or ``candidate``.
        title: what it is about, for people.
        pairs: how many pairs it is about.
        pairs_of: of how many that could be.
        since_us: since when, UTC microseconds; 0: not known.
        reason: why, for people; may come from strangers.
        command: what to type next.
        model: the only model that it is about, or "".
        region: the only region that it is about, or "".
        version_from: what is served; None: several, or nothing.
        version_to: the aspired version, or the refused one.
        bytes_moved: of the fetch under way.
        bytes_planned: of the fetch under way; 0: none.
        bytes_per_second: of the fetch under way.
        stage: where the region is on its way, or "".
        models: the first few models.
        regions: the first few regions.
    """

    id: str
    status: Status
    cause: str
    title: str
    pairs: int
    pairs_of: int
    since_us: int
    reason: str = ""
    command: str = ""
    model: str = ""
    region: str = ""
    version_from: int | None = None
    version_to: int | None = None
    bytes_moved: int = 0
    bytes_planned: int = 0
    bytes_per_second: float = 0.0
    stage: str = ""
    models: tuple[str, ...] = ()
    regions: tuple[str, ...] = ()


FoundProblem: TypeAlias = tuple[Problem, Sequence[Pair]]
"""A problem and the pairs that it is about; none where it is about no pair, such as a tracker."""


def problems(overview: Overview, now_us: int) -> list[Problem]:
    """All problems, worst first; among equals, those that last longest."""
    return [problem for problem, _ in found_problems(overview, now_us)]


def found_problems(overview: Overview, now_us: int) -> list[FoundProblem]:
    """As ``problems``, each with its pairs."""
    found = [*_stale(overview, now_us), *_alarms(overview), *_kafka(overview)]
    by_status: dict[Status, list[Pair]] = defaultdict(list)
    for pair in filter(_matters, overview.troubled()):
        by_status[pair.status].append(pair)
    for status in (Status.SILENT, Status.NONE):
        found += _by_region(status, by_status[status], overview, share=0.0)
    found += _by_version(by_status[Status.REFUSED], overview)
    for status in (*BEHIND, Status.EMPTY):
        found += _behind(status, by_status[status], overview)
    found.sort(key=lambda each: _badness(each[0], now_us))
    return list(_told_apart(found))


def _told_apart(found: Iterable[FoundProblem]) -> Iterator[FoundProblem]:
    """Where several are about one thing, the worst alone is named by that."""
    seen: set[str] = set()
    for problem, pairs in found:
        named = replace(problem, id=f"{problem.id}:{problem.status.value.lower()}") if problem.id in seen else problem
        seen.add(named.id)
        yield named, pairs


def worst_first(found: Iterable[Problem], now_us: int) -> list[Problem]:
    """Worst first; among equals what concerns most pairs, then what lasts longest."""
    return sorted(found, key=lambda problem: _badness(problem, now_us))


def _badness(problem: Problem, now_us: int) -> tuple[int, int, int, str]:
    return rank(problem.status), -problem.pairs, problem.since_us or now_us, problem.id


def _matters(pair: Pair) -> bool:
    """A region that has nothing to serve is no trouble, and an alarm is shown once for its model."""
    return pair.status is not Status.ALARM and (pair.status is not Status.NONE or pair.row.aspired_version is not None)


def _stale(overview: Overview, now_us: int) -> Iterable[FoundProblem]:
    """The problem of states that are old while others are new: one tracker of several stands still."""
    old = sorted(n for n, view in overview.models.items() if now_us - view.appended_us > STALE_SECONDS * 1_000_000)
    if not old:
        return
    since_us = min(overview.models[name].appended_us for name in old)
    stale = Problem(
        id="tracker",
        status=Status.SILENT,
        cause="tracker",
        title="the tracker" if len(old) == len(overview.models) else "one of the trackers",
        pairs=len(old),
        pairs_of=len(overview.models),
        since_us=since_us,
        reason="it has not reported who serves what since; what is shown of these models is as of then",
        command="modelcast doctor --only kafka",
        models=tuple(old[:NAMES_KEPT]),
    )
    yield stale, ()


def _kafka(overview: Overview) -> Iterable[FoundProblem]:
    """Kafka, where regions are silent because nothing that they say arrives. It comes before them."""
    unheard = [p for p in overview.troubled() if p.status is Status.SILENT and p.row.silent]
    if not overview.kafka_away_us or not unheard:
        return
    away = Problem(
        id="kafka",
        status=Status.SILENT,
        cause="kafka",
        title="Kafka",
        pairs=sum(overview.counts().values()),
        pairs_of=sum(overview.counts().values()),
        since_us=overview.kafka_away_us,
        reason="it does not answer, and what regions report comes by it: those that are silent may well serve",
        command="modelcast doctor --only kafka",
    )
    yield away, ()


def _alarms(overview: Overview) -> Iterable[FoundProblem]:
    for name, view in overview.models.items():
        if view.state.alarm:
            alarm = Problem(
                id=f"alarm:{name}",
                status=Status.ALARM,
                cause="model",
                title=name,
                pairs=len(view.pairs),
                pairs_of=len(view.pairs),
                since_us=min((p.since_us for p in view.pairs.values()), default=0),
                reason=view.state.alarm[:REASON_CHARS_MAX],
                command=f"modelcast describe {shlex.quote(name)}",
                model=name,
                models=(name,),
            )
            yield alarm, ()


def _by_region(status: Status, pairs: Sequence[Pair], overview: Overview, *, share: float) -> list[FoundProblem]:
    """One line a region that has at least ``share`` of its models among ``pairs``."""
    grouped: dict[str, list[Pair]] = defaultdict(list)
    for pair in pairs:
        grouped[pair.row.region].append(pair)
    return [
        (_of_region(status, region, members, overview.counted_in(region)), members)
        for region, members in grouped.items()
        if share == 0.0 or (len(members) >= GROUP_MIN and len(members) >= share * overview.counted_in(region))
    ]


def _of_region(status: Status, region: str, members: Sequence[Pair], of: int) -> Problem:
    reasons = {p.row.error for p in members if p.row.error}
    if status is Status.SILENT:
        unheard = any(p.row.silent for p in members)
        reason = "no heartbeat since" if unheard else "its pods were not read back since"
        command = "modelcast get regions" if unheard else "modelcast get pods"
    elif status is Status.NONE:
        reason, command = "never reported; is its region agent running?", f"modelcast run region {shlex.quote(region)}"
    elif status is Status.EMPTY:
        reason, command = "no pods are known there: nothing serves what it has", "modelcast doctor --only pods"
    else:
        stands = {_stands(p.row) for p in members}
        reason = min(reasons or stands) + (", and others" if len(reasons or stands) > 1 else "")
        command = "modelcast get regions"
    versions = {(p.row.served_version, p.row.aspired_version) for p in members} if len(members) == 1 else set()
    served, aspired = versions.pop() if versions else (None, None)
    return Problem(
        id=f"region:{region}",
        status=status,
        cause="region",
        title=region,
        pairs=len(members),
        pairs_of=of,
        since_us=_oldest(members),
        reason=reason[:REASON_CHARS_MAX],
        command=command,
        model=members[0].model if of == 1 else "",
        region=region,
        version_from=served,
        version_to=aspired,
        models=tuple(sorted(p.model for p in members)[:NAMES_KEPT]),
        regions=(region,),
    )


def _by_version(pairs: Sequence[Pair], overview: Overview) -> list[FoundProblem]:
    grouped: dict[tuple[str, int | None], list[Pair]] = defaultdict(list)
    for pair in pairs:
        version = pair.row.refused_version if pair.row.refused_version is not None else pair.row.aspired_version
        grouped[pair.model, version].append(pair)
    found: list[FoundProblem] = []
    for (model, version), members in grouped.items():
        reference = model if version is None else f"{model}/{version}"
        refused = Problem(
            id=f"version:{reference}",
            status=Status.REFUSED,
            cause="version",
            title=reference,
            pairs=len(members),
            pairs_of=_counted(overview, model),
            since_us=_oldest(members),
            reason=next((p.row.error for p in members if p.row.error), "quarantined")[:REASON_CHARS_MAX],
            command=f"modelcast describe {shlex.quote(reference)}",
            model=model,
            region=members[0].row.region if len(members) == 1 else "",
            version_from=_one({p.row.served_version for p in members}),
            version_to=version,
            models=(model,),
            regions=_names(members),
        )
        found.append((refused, members))
    return found


def _behind(status: Status, pairs: Sequence[Pair], overview: Overview) -> list[FoundProblem]:
    found = _by_region(status, pairs, overview, share=REGION_SHARE) if len(overview.models) > 1 else []
    whole = {problem.region for problem, _ in found}
    grouped: dict[tuple[str, int | None], list[Pair]] = defaultdict(list)
    for pair in pairs:
        if pair.row.region not in whole:
            grouped[pair.model, pair.row.aspired_version].append(pair)
    for (model, version), members in grouped.items():
        found.append((_of_model(status, model, version, members, _counted(overview, model)), members))
    return found


def _of_model(status: Status, model: str, version: int | None, members: Sequence[Pair], of: int) -> Problem:
    slowest = min(members, key=lambda p: p.since_us)
    row, one = slowest.row, len(members) == 1
    return Problem(
        id=f"pair:{model}@{row.region}" if one else f"model:{model}/{version}",
        status=status,
        cause="pair" if one else "model",
        title=model,
        pairs=len(members),
        pairs_of=of,
        since_us=_oldest(members),
        reason=next((p.row.error for p in members if p.row.error), _stands(row))[:REASON_CHARS_MAX],
        command=f"modelcast get {shlex.quote(model)} --watch",
        model=model,
        region=row.region if one else "",
        version_from=_one({p.row.served_version for p in members}),
        version_to=version,
        bytes_moved=row.bytes_moved if one else 0,
        bytes_planned=row.bytes_planned if one else 0,
        bytes_per_second=row.bytes_per_second if one else 0.0,
        stage=row.state.value.lower() if row.state and one else "",
        models=(model,),
        regions=_names(members),
    )


def _stands(row: RegionState) -> str:
    if not row.pods_expected:
        return "no pod is ready there: it has none"
    return row.rollover or f"{row.pods_serving} of {row.pods_expected} pods serve it"


def _counted(overview: Overview, model: str) -> int:
    return sum(overview.models[model].statuses.values())


def _names(members: Sequence[Pair]) -> tuple[str, ...]:
    return tuple(sorted(p.row.region for p in members)[:NAMES_KEPT])


def _oldest(members: Sequence[Pair]) -> int:
    return min((p.since_us for p in members if p.since_us), default=0)


def _one(values: set[int | None]) -> int | None:
    return values.pop() if len(values) == 1 else None
