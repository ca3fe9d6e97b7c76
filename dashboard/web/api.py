"""``/api/v1``: what is shown, for programs and for the page."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from aiohttp import web

from modelcast.dashboard.dashboard import Dashboard
from modelcast.dashboard.groups import GROUP_STATUSES, GroupsWatch, group_rank
from modelcast.dashboard.sources.letter_source import LetterSource
from modelcast.dashboard.sources.log_reader import LogSource
from modelcast.dashboard.sources.pod_lists import PodLists
from modelcast.dashboard.stream import dumps
from modelcast.dashboard.view.grid import grid
from modelcast.dashboard.view.pairs import ModelView, Pair
from modelcast.dashboard.view.problems import Problem
from modelcast.dashboard.view.rollouts import rollouts
from modelcast.dashboard.web import answers, rows
from modelcast.dashboard.web.paging import LIMIT_MAX, Key, fitting, limit_of, page
from modelcast.infra.settings import Settings
from modelcast.schemas.errors import NotFound, UsageError
from modelcast.schemas.names import check_model, check_region
from modelcast.schemas.states import State
from modelcast.schemas.statuses import TROUBLE, Status, rank

BASE = "/api/v1"
FOREVER_US = 2**62
FETCHING_SHOWN = 20
TAKEOVERS_SHOWN = 20
T = TypeVar("T")


class Api:
    """The handlers.

    Args:
        settings: the regions' limits.
        board: what is shown.
        logs: reads registry logs, for who and why.
        groups: looks at consumer groups.
        letters: what lies on the dead letters.
        pods: reads lists of pods.
    """

    def __init__(
        self,
        settings: Settings,
        board: Dashboard,
        logs: LogSource,
        groups: GroupsWatch,
        letters: LetterSource,
        pods: PodLists,
    ) -> None:
        self._settings, self._board, self._logs, self._groups = settings, board, logs, groups
        self._letters, self._pods = letters, pods

    def routes(self) -> list[web.RouteDef]:
        """Paths and handlers."""
        model = BASE + "/models/{model}"
        return [
            web.get(BASE + "/verdict", self.verdict),
            web.get(BASE + "/problems", self.problems),
            web.get(BASE + "/models", self.models),
            web.get(model, self.model),
            web.get(model + "/regions/{region}/pods", self.pods),
            web.get(BASE + "/regions", self.regions),
            web.get(BASE + "/regions/{region}", self.region),
            web.get(BASE + "/refused", self.refused),
            web.get(BASE + "/dead-letters", self.dead_letters),
            web.get(BASE + "/rollouts", self.rollouts),
            web.get(BASE + "/entries", self.entries),
            web.get(BASE + "/kafka/groups", self.groups),
            web.get(BASE + "/kafka/probe", self.probe),
            web.get(BASE + "/grid", self.grid),
            web.get(BASE + "/statuses", self.statuses),
        ]

    async def verdict(self, request: web.Request) -> web.Response:
        """The verdict over all models and regions."""
        board = self._board
        answer = answers.VerdictAnswer(board.freshness(), board.stream.boot, board.overview.revision, board.verdict)
        return self._answer(request, answer)

    async def problems(self, request: web.Request) -> web.Response:
        """What is wrong, worst first."""
        board = self._board
        found = page(
            board.problems,
            _problem_key,
            _as_is,
            after=request.query.get("after", ""),
            limit=limit_of(request.query.get("limit")),
            revision=board.overview.revision,
        )
        trends = board.trends.of(found.rows)
        answer = answers.Problems(
            board.freshness(), board.overview.revision, len(board.problems), found.rows, trends, found.next
        )
        return self._answer(request, answer)

    async def models(self, request: web.Request) -> web.Response:
        """Models, worst first or by name, all or those with a status or a part of a name."""
        board, query = self._board, request.query
        sort = _one_of(query.get("sort", "worst"), "sort", tuple(_MODEL_KEYS))
        statuses = tuple(status.value for status in Status)
        status = Status(_one_of(query["status"], "status", statuses)) if "status" in query else None
        part = query.get("q", "")
        views = [
            view
            for name, view in board.overview.models.items()
            if part in name and (status is None or view.status is status or status in view.statuses)
        ]
        found = page(
            views,
            _MODEL_KEYS[sort],
            rows.model_line,
            after=query.get("after", ""),
            limit=limit_of(query.get("limit")),
            revision=board.overview.revision,
        )
        answer = answers.Models(
            board.freshness(), board.overview.revision, len(views), found.rows, found.next, found.moved_on
        )
        return self._answer(request, answer)

    async def model(self, request: web.Request) -> web.Response:
        """One model in every region."""
        board, view = self._board, self._view(request)
        name = view.state.model
        entries = await self._logs.newest(name, view.state.head_generation)
        if not entries:
            entries = tuple(line for line in reversed(board.announced.lines) if line.model == name)
        pairs = sorted(view.pairs.values(), key=_pair_key)
        answer = answers.Model(
            fresh=board.freshness(),
            revision=board.overview.revision,
            model=rows.model_line(view),
            regions=_pair_lines(pairs),
            regions_total=len(pairs),
            problems=tuple(p for p in board.problems if name in {p.model, *p.models}),
            entries=entries,
            candidate=board.candidate(name),
        )
        return self._answer(request, answer)

    async def pods(self, request: web.Request) -> web.Response:
        """The pods of a model in a region."""
        board, view = self._board, self._view(request)
        model, region = view.state.model, check_region(request.match_info["region"])
        if region not in view.pairs:
            raise NotFound("the tracker knows of no such region", subject=region, hint="see /api/v1/regions")
        listed = await self._pods.newest(model, region)
        found = page(
            listed.pods,
            lambda pod: (pod.pod, pod.incarnation),
            _as_is,
            after=request.query.get("after", ""),
            limit=limit_of(request.query.get("limit")),
            revision=0,
        )
        fresh = board.freshness()
        age = max(0, fresh.as_of_us - listed.reported_us) / 1_000_000 if listed.reported_us else None
        answer = answers.Pods(
            fresh, model, region, len(listed.pods), found.rows, age, view.pairs[region].status, listed.error, found.next
        )
        return self._answer(request, answer, cached=False)

    async def regions(self, request: web.Request) -> web.Response:
        """All regions, worst first."""
        overview = self._board.overview
        lines = sorted(
            (rows.region_line(overview, region) for region in overview.regions),
            key=lambda r: (rank(r.status), r.region),
        )
        return self._answer(
            request,
            answers.Regions(self._board.freshness(), overview.revision, fitting(lines[:LIMIT_MAX]), len(lines)),
            cached=False,
        )

    async def region(self, request: web.Request) -> web.Response:
        """One region: workers and models."""
        overview, region = self._board.overview, check_region(request.match_info["region"])
        if region not in overview.regions:
            raise NotFound("the tracker knows of no such region", subject=region, hint="see /api/v1/regions")
        pairs = sorted((v.pairs[region] for v in overview.models.values() if region in v.pairs), key=_pair_key)
        fetching = [p for p in pairs if p.status is not Status.SILENT and p.row.state is State.FETCHING]
        fetching.sort(key=lambda p: p.row.bytes_moved - p.row.bytes_planned)
        answer = answers.Region(
            fresh=self._board.freshness(),
            revision=overview.revision,
            region=rows.region_line(overview, region),
            workers=tuple(
                rows.worker_line(each, self._board.disks.full_in_seconds(region, each.heartbeat.worker))
                for each in overview.workers.get(region, ())
            ),
            models=_pair_lines(pairs),
            models_total=len(pairs),
            link_bytes_per_second=sum(p.row.bytes_per_second for p in fetching),
            link_bytes_per_second_max=self._link_max(region),
            fetching=_pair_lines(fetching[:FETCHING_SHOWN]),
            group=next((g for g in self._groups.groups if g.group == f"modelcast-region-{region}"), None),
            takeovers=tuple(t for t in self._board.takeovers if t.region == region)[:TAKEOVERS_SHOWN],
        )
        return self._answer(request, answer, cached=False)

    async def refused(self, request: web.Request) -> web.Response:
        """Every pair that refuses a version."""
        overview = self._board.overview
        pairs = sorted((p for p in overview.pairs() if p.status is Status.REFUSED), key=_pair_key)
        lines = _pair_lines(pairs)
        return self._answer(request, answers.Refusals(self._board.freshness(), overview.revision, lines, len(pairs)))

    async def dead_letters(self, request: web.Request) -> web.Response:
        """What could not be read or obeyed."""
        look = await self._letters.newest()
        groups = fitting(look.groups[:LIMIT_MAX])
        answer = answers.DeadLetters(self._board.freshness(), look.looked_at_us, look.total, groups)
        return self._answer(request, answer, cached=False)

    async def rollouts(self, request: web.Request) -> web.Response:
        """What is on its way, worst first."""
        overview = self._board.overview
        found = rollouts(overview)
        lines = fitting(found[:LIMIT_MAX])
        return self._answer(request, answers.Rollouts(self._board.freshness(), overview.revision, len(found), lines))

    async def entries(self, request: web.Request) -> web.Response:
        """The newest log entries."""
        board = self._board
        return self._answer(
            request, answers.Entries(board.freshness(), tuple(reversed(board.announced.lines))), cached=False
        )

    async def groups(self, request: web.Request) -> web.Response:
        """How far the consumer groups have read, worst first."""
        watch = self._groups
        found = sorted(watch.groups, key=lambda g: (group_rank(g.status), -(g.lag_seconds or 0.0), g.group))
        statuses = tuple(answers.GroupStatusLine(status, means) for status, means in GROUP_STATUSES.items())
        answer = answers.Groups(self._board.freshness(), watch.looked_at_us, watch.error, tuple(found), statuses)
        return self._answer(request, answer, cached=False)

    async def probe(self, request: web.Request) -> web.Response:
        """How long the newest probe took, hop by hop."""
        fresh = self._board.freshness()
        answer = answers.Probing(fresh, self._board.probes.view(fresh.as_of_us))
        return self._answer(request, answer, cached=False)

    async def grid(self, request: web.Request) -> web.Response:
        """All pairs, a byte each."""
        board = self._board
        return self._bytes(request, grid(board.overview, board.freshness().as_of_us), "application/octet-stream")

    async def statuses(self, request: web.Request) -> web.Response:
        """All statuses and what they mean."""
        return self._answer(request, answers.statuses(), cached=False)

    # -------------------------------------------------------------------------------------------------------------

    def _view(self, request: web.Request) -> ModelView:
        name = check_model(request.match_info["model"])
        try:
            return self._board.overview.models[name]
        except KeyError:
            hint = f"modelcast history {name}"
            raise NotFound("the tracker knows of no such model", subject=name, hint=hint) from None

    def _link_max(self, region: str) -> float | None:
        settings = self._settings.regions.get(region)
        return settings.bandwidth_bytes_per_second if settings is not None else None

    def _answer(self, request: web.Request, answer: Any, *, cached: bool = True) -> web.Response:
        return self._bytes(request, dumps(answer), "application/json", cached=cached)

    def _bytes(self, request: web.Request, body: bytes, kind: str, *, cached: bool = True) -> web.Response:
        headers = {"Cache-Control": "no-cache"}
        if cached:
            stream = self._board.stream  # it ticks: what was answered before is told again once its ages have grown
            tag = f"{stream.boot}-{stream.number}-{self._board.overview.revision}"
            headers["ETag"] = f'"{tag}"'
            if any(etag.value == tag for etag in request.if_none_match or ()):
                return web.Response(status=304, headers=headers)
        response = web.Response(body=body, content_type=kind, headers=headers)
        response.enable_compression()
        return response


def _as_is(row: T) -> T:
    return row


def _pair_lines(pairs: Sequence[Pair]) -> tuple[rows.PairLine, ...]:
    return fitting(map(rows.pair_line, pairs[:LIMIT_MAX]))


def _problem_key(problem: Problem) -> Key:
    return (rank(problem.status), -problem.pairs, problem.since_us or FOREVER_US, problem.id)


def _pair_key(pair: Pair) -> Key:
    return (not pair.counted, rank(pair.status), pair.since_us or FOREVER_US, pair.model, pair.row.region)


_MODEL_KEYS: dict[str, Callable[[ModelView], Key]] = {
    "worst": lambda view: (rank(view.status), *_trouble(view), _since(view), view.state.model),
    "name": lambda view: (view.state.model,),
}


def _trouble(view: ModelView) -> Iterator[int]:
    """How many pairs have each status, worst first: it tells models apart that one silent region makes equal."""
    return (-view.statuses.get(status, 0) for status in Status if status in TROUBLE)


def _since(view: ModelView) -> int:
    return min((p.since_us for p in view.pairs.values() if p.status is view.status and p.since_us), default=FOREVER_US)


def _one_of(value: str, subject: str, known: Sequence[str]) -> str:
    if value not in known:
        raise UsageError(f"{value[:40]!r} is not known", subject=subject, hint=f"one of {', '.join(known)}")
    return value
