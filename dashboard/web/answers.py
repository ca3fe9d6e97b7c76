"""What the API answers, as records: the OpenAPI document is made from these. Times are UTC microseconds."""

from collections.abc import Mapping
from dataclasses import dataclass

from modelcast.dashboard.dashboard import Freshness
from modelcast.dashboard.groups import GroupStatus, GroupView
from modelcast.dashboard.sources.letters import LetterGroup
from modelcast.dashboard.view.candidates import SeenRollout
from modelcast.dashboard.view.entries import EntryLine
from modelcast.dashboard.view.probe import ProbeView
from modelcast.dashboard.view.problems import Problem
from modelcast.dashboard.view.rollouts import Rollout
from modelcast.dashboard.view.takeovers import TakeoverLine
from modelcast.dashboard.view.verdict import OverviewVerdict
from modelcast.dashboard.web.rows import ModelLine, PairLine, RegionLine, WorkerLine
from modelcast.schemas.log.verbs import RULES
from modelcast.schemas.records import CommandKind, PodReport
from modelcast.schemas.statuses import LOOKS, Status


@dataclass(frozen=True, slots=True)
class StatusLine:
    """How a status looks, and what it means."""

    status: Status
    shape: str
    light: str
    dark: str
    means: str


@dataclass(frozen=True, slots=True)
class Statuses:
    """All statuses, worst first."""

    statuses: tuple[StatusLine, ...]


@dataclass(frozen=True, slots=True)
class VerdictAnswer:
    """The head of the page."""

    fresh: Freshness
    boot: str
    revision: int
    verdict: OverviewVerdict


@dataclass(frozen=True, slots=True)
class Problems:
    """What is wrong, worst first.

    Attributes:
        next: what to ask for as ``after``; "" at the end.
        trends: the last figures of problems, by id, 10 s apart: how many pairs, or bytes a second.
    """

    fresh: Freshness
    revision: int
    total: int
    problems: tuple[Problem, ...]
    trends: Mapping[str, tuple[float, ...]]
    next: str


@dataclass(frozen=True, slots=True)
class Models:
    """Models. ``next``: what to ask for as ``after``; "" at the end. ``moved_on``: the list changed since it began."""

    fresh: Freshness
    revision: int
    total: int
    models: tuple[ModelLine, ...]
    next: str
    moved_on: bool


@dataclass(frozen=True, slots=True)
class Model:
    """One model: its regions worst first, what is wrong with it, its last log entries.

    Attributes:
        candidate: its newest rollout, also one that is over, as its controller reported it; None: none is known.
    """

    fresh: Freshness
    revision: int
    model: ModelLine
    regions: tuple[PairLine, ...]
    regions_total: int
    problems: tuple[Problem, ...]
    entries: tuple[EntryLine, ...]
    candidate: SeenRollout | None


@dataclass(frozen=True, slots=True)
class Pods:
    """Pods of a model in a region.

    Attributes:
        pods: each as its region last read it back, at ``read_at_us``.
        pods_age_seconds: how old the list is; None: there is none.
        status: how the pair stands: of one that is SILENT it is not known what these pods do now.
        error: why the list can't be read; "": it was.
        next: what to ask for as ``after``; "" at the end.
    """

    fresh: Freshness
    model: str
    region: str
    total: int
    pods: tuple[PodReport, ...]
    pods_age_seconds: float | None
    status: Status
    error: str
    next: str


@dataclass(frozen=True, slots=True)
class Regions:
    """Regions, worst first."""

    fresh: Freshness
    revision: int
    regions: tuple[RegionLine, ...]
    total: int


@dataclass(frozen=True, slots=True)
class Region:
    """One region: its workers, its models worst first, and what its long link is busy with.

    Attributes:
        link_bytes_per_second: what its fetches bring together.
        link_bytes_per_second_max: the limit for the whole region; None: this dashboard's settings name none.
        fetching: models that it fetches now, those with the most bytes left first.
        group: how far its workers have read announcements; None: not known.
        takeovers: when its models got another owner, newest first, since this dashboard was started.
    """

    fresh: Freshness
    revision: int
    region: RegionLine
    workers: tuple[WorkerLine, ...]
    models: tuple[PairLine, ...]
    models_total: int
    link_bytes_per_second: float
    link_bytes_per_second_max: float | None
    fetching: tuple[PairLine, ...]
    group: GroupView | None
    takeovers: tuple[TakeoverLine, ...]


@dataclass(frozen=True, slots=True)
class Refusals:
    """Every pair that refuses a version."""

    fresh: Freshness
    revision: int
    refused: tuple[PairLine, ...]
    total: int


@dataclass(frozen=True, slots=True)
class DeadLetters:
    """The newest ``total`` dead letters, by topic and reason; those with the newest letter first."""

    fresh: Freshness
    looked_at_us: int
    total: int
    groups: tuple[LetterGroup, ...]


@dataclass(frozen=True, slots=True)
class Rollouts:
    """Versions that are on their way, worst first."""

    fresh: Freshness
    revision: int
    total: int
    rollouts: tuple[Rollout, ...]


@dataclass(frozen=True, slots=True)
class Entries:
    """The newest log entries of all models, newest first."""

    fresh: Freshness
    entries: tuple[EntryLine, ...]


@dataclass(frozen=True, slots=True)
class GroupStatusLine:
    """What a status of consumer groups means."""

    status: GroupStatus
    means: str


@dataclass(frozen=True, slots=True)
class Groups:
    """The consumer groups on Kafka, worst first.

    Attributes:
        looked_at_us: when they were looked at; 0: not yet.
        error: why the last look failed; what is shown is from ``looked_at_us``.
        statuses: worst first.
    """

    fresh: Freshness
    looked_at_us: int
    error: str
    groups: tuple[GroupView, ...]
    statuses: tuple[GroupStatusLine, ...]


@dataclass(frozen=True, slots=True)
class Probing:
    """The probe that goes the whole way to every region and back; None: none was ever seen."""

    fresh: Freshness
    probe: ProbeView | None


@dataclass(frozen=True, slots=True)
class ActionLine:
    """What a verb takes, by the table of verbs."""

    kind: CommandKind
    takes_version: bool
    needs_version: bool
    by_region: bool


@dataclass(frozen=True, slots=True)
class Actions:
    """Whether this dashboard takes commands. ``by_proxy``: people are signed in before they come here."""

    enabled: bool
    by_proxy: bool
    kinds: tuple[ActionLine, ...]


def action_line(kind: CommandKind) -> ActionLine:
    """A verb as it is answered. A rollback finds its version where none is named."""
    rule = RULES[kind]
    needed = rule.takes_version and kind is not CommandKind.ROLLBACK
    return ActionLine(kind, rule.takes_version, needed, rule.by_region)


@dataclass(frozen=True, slots=True)
class Fault:
    """Why there is no answer: what was wrong with what, and what to do."""

    error: str
    subject: str
    hint: str


def statuses() -> Statuses:
    """All statuses, worst first."""
    return Statuses(tuple(StatusLine(status, k.shape, k.light, k.dark, k.means) for status, k in LOOKS.items()))
