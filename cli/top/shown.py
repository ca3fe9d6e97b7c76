"""What is on the screen, as values: pure, ``at`` (monotonic seconds) is passed in."""

import json
from dataclasses import dataclass

from modelcast.dashboard.dashboard import Dashboard, Freshness
from modelcast.dashboard.view.freshness import UNHEARD_SECONDS, SeenAges
from modelcast.dashboard.view.grid import ABSENT, grid
from modelcast.dashboard.view.problems import Problem
from modelcast.dashboard.view.verdict import OverviewVerdict
from modelcast.dashboard.web.rows import ModelLine, PairLine
from modelcast.schemas.statuses import LOOKS, Status

PROBLEMS_MAX = 200


@dataclass(frozen=True, slots=True)
class GridShown:
    """Every pair: ``cells[model * len(regions) + region]`` is a status' place in ``statuses``, or ``ABSENT``."""

    models: tuple[str, ...] = ()
    regions: tuple[str, ...] = ()
    statuses: tuple[Status, ...] = ()
    cells: bytes = b""

    def status(self, model: int, region: int) -> Status | None:
        """A pair's status; None: there is no such pair."""
        code = self.cells[model * len(self.regions) + region]
        return None if code == ABSENT else self.statuses[code]


@dataclass(frozen=True, slots=True)
class NowShown:
    """NOW.

    Attributes:
        fresh: how old it is, as the source said.
        verdict: the head.
        problems: worst first, the first ``PROBLEMS_MAX``.
        total: how many there are.
        grid: every pair.
        revision: of what is known: the same one, the same problems and grid.
        read_at: when the source said so, monotonic seconds.
    """

    fresh: Freshness
    verdict: OverviewVerdict
    problems: tuple[Problem, ...]
    total: int
    grid: GridShown
    revision: tuple[str, int]
    read_at: float


@dataclass(frozen=True, slots=True)
class ModelShown:
    """MODEL: its line, its regions worst first, and what is wrong with it."""

    model: ModelLine
    regions: tuple[PairLine, ...]
    problems: tuple[Problem, ...]


def grid_of(raw: bytes) -> GridShown:
    """The grid as the API answers it."""
    head, _, cells = raw.partition(b"\n")
    names = json.loads(head)
    statuses = tuple(Status(each) for each in names["statuses"])
    return GridShown(tuple(names["models"]), tuple(names["regions"]), statuses, cells)


def now_of(dashboard: Dashboard, at: float, before: NowShown | None = None) -> NowShown:
    """What a dashboard in this process shows; ``before``: what it showed, of which what is the same is kept."""
    fresh, revision = dashboard.freshness(), (dashboard.stream.boot, dashboard.overview.revision)
    same = before is not None and before.revision == revision
    return NowShown(
        fresh=fresh,
        verdict=dashboard.verdict,
        problems=tuple(dashboard.problems[:PROBLEMS_MAX]),
        total=len(dashboard.problems),
        grid=before.grid if before is not None and same else grid_of(grid(dashboard.overview, fresh.as_of_us)),
        revision=revision,
        read_at=at,
    )


def ages_of(now: NowShown, at: float) -> SeenAges:
    """How old what is shown is at ``at``."""
    quiet, fresh = at - now.read_at, now.fresh
    unheard = fresh.tracker_seconds or 0.0
    return SeenAges(
        quiet=quiet,
        tracker=None if fresh.age_seconds is None else fresh.age_seconds + quiet,
        unheard=unheard + quiet if unheard > UNHEARD_SECONDS else 0.0,  # as the source saw it: its pause is no silence
        kafka=fresh.kafka,
        source=fresh.source,
    )


def is_old(now: NowShown, at: float) -> bool:
    """Whether what is shown is how things were."""
    return ages_of(now, at).old


def freshness_line(now: NowShown | None, at: float, away: str) -> str:
    """How old what is shown is; ``away``: why the source says nothing, or ""."""
    if now is None:
        return f"◌ can't load: {away}" if away else "◌ loading"
    return ages_of(now, at).line(away)


def word(status: Status, *, old: bool = False, label: str = "") -> str:
    """A status as it is shown; what was well when it was last heard of is "OK then"."""
    return "OK then" if old and status is Status.OK else label or status.value


def badge(status: Status, *, old: bool = False, label: str = "") -> str:
    """A status with its shape."""
    return f"{LOOKS[status].shape.strip() or ' '} {word(status, old=old, label=label)}"


def target(problem: Problem, part: str = "") -> str:
    """The model that is looked at more closely, one that holds ``part`` before others; or ""."""
    named = [problem.model] if problem.model else list(problem.models)
    return next((name for name in named if part in name), named[0] if named else "")


def matching(now: NowShown, part: str) -> tuple[Problem, ...]:
    """The problems that name ``part``: a model, a region, a word of theirs."""
    part = part.lower()

    def names(problem: Problem) -> str:
        return " ".join((problem.title, problem.status, problem.model, problem.region, *problem.models)).lower()

    return tuple(each for each in now.problems if part in names(each))


def rows_of(now: NowShown, part: str) -> tuple[int, ...]:
    """Places of the models in the grid whose name holds ``part``; all, if no name does."""
    found = tuple(place for place, name in enumerate(now.grid.models) if part.lower() in name)
    return found or tuple(range(len(now.grid.models)))
