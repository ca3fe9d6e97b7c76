"""All models and regions, kept up to date by what is read and by the clock. Decides on values; reads nothing."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from modelcast.dashboard.view.pairs import ModelView, Pair, make_pair
from modelcast.schemas.records import RegionHeartbeat, VersionState
from modelcast.schemas.statuses import TROUBLE, Limits, Status, count_statuses, with_rows, worst
from modelcast.schemas.unchanged import StatesUnchanged, renewed


@dataclass(frozen=True, slots=True)
class Worker:
    """A region's worker, by its last heartbeat; ``heard_at_us`` by this machine's clock."""

    heartbeat: RegionHeartbeat
    heard_at_us: int


@dataclass(slots=True)
class _RegionCount:
    """How many of a region's pairs there are, count, and are silent. Kept, because all pairs are too many to look at
    for each model that changes."""

    pairs: int = 0
    counted: int = 0
    silent: int = 0

    def add(self, pair: Pair, many: int) -> None:
        self.pairs += many
        self.counted += many * pair.counted
        self.silent += many * pair.row.silent


@dataclass(slots=True)
class Overview:
    """All models and regions as they are shown.

    Attributes:
        limits: when statuses turn worse.
        models: by name.
        workers: heartbeats, by region; empty while Redis can't be read.
        kafka_away_us: since when Kafka, by which all reports come, does not answer, this machine's clock; 0: it does.
        revision: grows with every change of a status, a version or a name.
        shape: grows with every model or region that comes or goes: a page that drew a grid draws it anew.
    """

    limits: Limits
    models: dict[str, ModelView] = field(default_factory=dict)
    workers: Mapping[str, tuple[Worker, ...]] = field(default_factory=dict)
    kafka_away_us: int = 0
    revision: int = 0
    shape: int = 0
    _in_region: dict[str, _RegionCount] = field(default_factory=dict)

    def take(
        self, state: VersionState, appended_us: int, now_us: int, source: str, said_us: int = 0
    ) -> tuple[Pair, ...]:
        """Take in a model's state.

        Args:
            state: as it is, also where it was renewed since it was said.
            appended_us: when the tracker wrote it, by this machine's clock.
            now_us: UTC microseconds.
            source: ``kafka`` or ``redis``.
            said_us: when it was said, tracker's clock; 0: as ``state`` says.

        Returns:
            The pairs whose status is another one now, or that are new.
        """
        before = self.models.get(state.model)
        said_us = said_us or state.updated_at_us
        if (
            before is not None
            and source != before.source
            and (said_us, state.updated_at_us) < (before.said_us, before.state.updated_at_us)
        ):
            return ()  # the other source is behind
        made = (
            make_pair(state, row, before.pairs.get(row.region) if before else None, now_us, self.limits)
            for row in state.regions
        )
        pairs = {pair.row.region: pair for pair in made}
        view = _view(replace(state, regions=()), pairs, appended_us - _waiting_us(state), source, said_us)
        self._put(state.model, view)
        if before is None or before.pairs.keys() != pairs.keys():
            self.shape += 1
        changed = tuple(
            pair
            for region, pair in pairs.items()
            if before is None
            or (old := before.pairs.get(region)) is None
            or (old.status, old.since_us) != (pair.status, pair.since_us)
        )
        if before is None or changed or _news(before) != _news(view):
            self.revision += 1
        return changed

    def renew(self, told: StatesUnchanged, appended_us: int, now_us: int) -> tuple[Pair, ...]:
        """Take in what is told of states that have not changed.

        Returns:
            The pairs whose status is another one now.
        """
        changed: list[Pair] = []
        for row in told.models:
            view = self.models.get(row.model)
            if view is None or view.said_us != row.said_at_us or view.state.updated_at_us >= told.updated_at_us:
                continue
            rows = tuple(pair.reported for pair in view.pairs.values())
            said = replace(view.reported, updated_at_us=view.said_us, regions=rows)
            state = renewed(said, told, row)
            if state is None:
                continue  # of another registry
            pairs = {
                each.region: make_pair(state, each, view.pairs[each.region], now_us, self.limits)
                for each in state.regions
            }
            changed += [pair for region, pair in pairs.items() if pair.status is not view.pairs[region].status]
            appended = appended_us - _waiting_us(state)
            self._put(row.model, _view(replace(state, regions=()), pairs, appended, view.source, view.said_us))
        if changed:
            self.revision += 1
        return tuple(changed)

    def drop(self, model: str) -> None:
        """Forget a model that is gone from the topic."""
        if (view := self.models.pop(model, None)) is not None:
            self._recount(view.pairs, {})
            self.shape += 1
            self.revision += 1

    def tick(self, now_us: int) -> tuple[Pair, ...]:
        """Apply what the clock alone changes.

        Returns:
            The pairs whose status is another one now.
        """
        changed: list[Pair] = []
        for name, view in self.models.items():
            if not 0 < view.until_us <= now_us:
                continue
            state = view.reported
            pairs = {
                region: make_pair(state, pair.reported, pair, now_us, self.limits)
                if 0 < pair.until_us <= now_us
                else pair
                for region, pair in view.pairs.items()
            }
            changed += [pair for region, pair in pairs.items() if pair.status is not view.pairs[region].status]
            known = _view(state, pairs, view.appended_us, view.source, view.said_us)
            self._put(name, known)
            self.revision += _news(view) != _news(known)
        if changed:
            self.revision += 1
        return tuple(changed)

    def _put(self, model: str, view: ModelView) -> None:
        before = self.models.get(model)
        self.models[model] = view
        self._recount(before.pairs if before is not None else {}, view.pairs)

    def _recount(self, before: Mapping[str, Pair], after: Mapping[str, Pair]) -> None:
        for region, pair in after.items():
            old = before.get(region)
            if old is not None and (old.counted, old.row.silent) == (pair.counted, pair.row.silent):
                continue
            count = self._in_region.setdefault(region, _RegionCount())
            count.add(pair, 1)
            if old is not None:
                count.add(old, -1)
        for region in before.keys() - after.keys():
            count = self._in_region[region]
            count.add(before[region], -1)
            if not count.pairs:
                del self._in_region[region]

    @property
    def regions(self) -> list[str]:
        """Names of all regions that any model or heartbeat tells of, in order."""
        return sorted(self._in_region.keys() | self.workers.keys())

    def pairs(self) -> Iterable[Pair]:
        """Every pair."""
        for view in self.models.values():
            yield from view.pairs.values()

    def troubled(self) -> Iterable[Pair]:
        """Every counted pair whose status a person wants to see."""
        for view in self.models.values():
            yield from view.troubled

    def counts(self) -> Counter[Status]:
        """How many counted pairs have each status."""
        found: Counter[Status] = Counter()
        for view in self.models.values():
            found.update(view.statuses)
        return found

    def counted_in(self, region: str) -> int:
        """How many models count there."""
        count = self._in_region.get(region)
        return count.counted if count is not None else 0

    def silent(self, region: str) -> bool:
        """Whether a region is not heard of; what counts there is then told by one line."""
        count = self._in_region.get(region)
        return count is not None and count.silent > 0

    def newest_us(self) -> int:
        """When the tracker last reported, UTC microseconds by this machine's clock; 0: never."""
        return max((view.appended_us for view in self.models.values()), default=0)


def _waiting_us(state: VersionState) -> int:
    """For how long what was reported waited to be read, when the tracker wrote this."""
    return max(0, state.updated_at_us - state.as_of_us) if state.as_of_us else 0


def _view(reported: VersionState, pairs: Mapping[str, Pair], appended_us: int, source: str, said_us: int) -> ModelView:
    statuses = count_statuses((p.row, p.status) for p in pairs.values())
    troubled = tuple(p for p in pairs.values() if p.status in TROUBLE and p.counted)
    until_us = min((p.until_us for p in pairs.values() if p.until_us), default=0)
    status = Status.ALARM if reported.alarm else worst(statuses)
    state = replace(with_rows(reported, tuple(p.row for p in pairs.values())), regions=())
    return ModelView(state, reported, pairs, status, appended_us, source, until_us, statuses, troubled, said_us)


def _news(view: ModelView) -> object:
    state = replace(view.state, updated_at_us=0, as_of_us=0)
    rows = tuple(
        (
            p.row.served_version,
            p.row.aspired_version,
            p.row.staged_version,
            p.row.pods_serving,
            p.row.bytes_moved,
            p.row.error,
            p.row.rollover,
        )
        for p in view.pairs.values()
    )
    return state, rows
