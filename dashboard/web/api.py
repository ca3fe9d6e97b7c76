"""``/api/v1``: what is shown, for programs and for the page."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from aiohttp import web

from modelcast.dashboard.board import Board
from modelcast.dashboard.groups import GROUP_WORDS, GroupsWatch, group_rank
from modelcast.dashboard.sources.log_reader import LogSource
from modelcast.dashboard.sources.redis_poller import read_pods
from modelcast.dashboard.stream import dumps
from modelcast.dashboard.view.grid import grid
from modelcast.dashboard.view.pairs import ModelView, Pair
from modelcast.dashboard.view.problems import Problem
from modelcast.dashboard.web import answers
from modelcast.dashboard.web.paging import LIMIT_MAX, Key, limit_of, page
from modelcast.infra.settings import Settings
from modelcast.schemas.errors import NotFound, RedisUnavailable, UsageError
from modelcast.schemas.names import check_model, check_region
from modelcast.schemas.words import TROUBLE, Word, rank

BASE = "/api/v1"
FOREVER_US = 2**62


class Api:
    """The handlers.

    Args:
        settings: where Redis is.
        board: what is shown.
        logs: reads registry logs, for who and why.
        groups: looks at consumer groups.
    """

    def __init__(self, settings: Settings, board: Board, logs: LogSource, groups: GroupsWatch) -> None:
        self._settings, self._board, self._logs, self._groups = settings, board, logs, groups

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
            web.get(BASE + "/entries", self.entries),
            web.get(BASE + "/kafka/groups", self.groups),
            web.get(BASE + "/kafka/probe", self.probe),
            web.get(BASE + "/grid", self.grid),
            web.get(BASE + "/words", self.words),
        ]

    async def verdict(self, request: web.Request) -> web.Response:
        """Is everything as it should be?"""
        board = self._board
        answer = answers.VerdictAnswer(board.freshness(), board.stream.boot, board.fleet.revision, board.verdict)
        return self._answer(request, answer)

    async def problems(self, request: web.Request) -> web.Response:
        """What is wrong, worst first."""
        board = self._board
        found = page(
            board.problems,
            _problem_key,
            after=request.query.get("after", ""),
            limit=limit_of(request.query.get("limit")),
            revision=board.fleet.revision,
        )
        answer = answers.Problems(board.freshness(), board.fleet.revision, len(board.problems), found.rows, found.next)
        return self._answer(request, answer)

    async def models(self, request: web.Request) -> web.Response:
        """Models, worst first or by name, all or those with a word or a part of a name."""
        board, query = self._board, request.query
        sort = _one_of(query.get("sort", "worst"), "sort", tuple(_MODEL_KEYS))
        words = tuple(word.value for word in Word)
        word = _one_of(query["word"], "word", words) if "word" in query else None
        part = query.get("q", "")
        rows = [
            view
            for name, view in board.fleet.models.items()
            if part in name and (word is None or view.word.value == word)
        ]
        found = page(
            rows,
            _MODEL_KEYS[sort],
            after=query.get("after", ""),
            limit=limit_of(query.get("limit")),
            revision=board.fleet.revision,
        )
        lines = tuple(answers.model_line(view) for view in found.rows)
        answer = answers.Models(board.freshness(), board.fleet.revision, len(rows), lines, found.next, found.moved_on)
        return self._answer(request, answer)

    async def model(self, request: web.Request) -> web.Response:
        """One model, everywhere."""
        board, view = self._board, self._view(request)
        name = view.state.model
        entries = await self._logs.newest(name, view.state.head_generation)
        if not entries:
            entries = tuple(line for line in reversed(board.announced.lines) if line.model == name)
        pairs = sorted(view.pairs.values(), key=_pair_key)
        answer = answers.Model(
            fresh=board.freshness(),
            revision=board.fleet.revision,
            model=answers.model_line(view),
            regions=tuple(map(answers.pair_line, pairs[:LIMIT_MAX])),
            regions_total=len(pairs),
            problems=tuple(p for p in board.problems if name in {p.model, *p.models}),
            entries=entries,
        )
        return self._answer(request, answer)

    async def pods(self, request: web.Request) -> web.Response:
        """The pods of a model in a region."""
        board, view = self._board, self._view(request)
        model, region = view.state.model, check_region(request.match_info["region"])
        if region not in view.pairs:
            raise NotFound("the tracker knows of no such region", subject=region, hint="see /api/v1/regions")
        try:
            seen = await asyncio.to_thread(read_pods, self._settings, model, region)
        except RedisUnavailable:
            seen = None
        pods, age = seen if seen is not None else ((), None)
        found = page(
            pods,
            lambda pod: (pod.pod, pod.incarnation),
            after=request.query.get("after", ""),
            limit=limit_of(request.query.get("limit")),
            revision=0,
        )
        return self._answer(
            request,
            answers.Pods(board.freshness(), model, region, len(pods), found.rows, age, found.next),
            cached=False,
        )

    async def regions(self, request: web.Request) -> web.Response:
        """All regions, worst first."""
        fleet = self._board.fleet
        lines = sorted(
            (answers.region_line(fleet, region) for region in fleet.regions), key=lambda r: (rank(r.word), r.region)
        )
        return self._answer(
            request, answers.Regions(self._board.freshness(), fleet.revision, tuple(lines)), cached=False
        )

    async def region(self, request: web.Request) -> web.Response:
        """One region: workers and models."""
        fleet, region = self._board.fleet, check_region(request.match_info["region"])
        if region not in fleet.regions:
            raise NotFound("the tracker knows of no such region", subject=region, hint="see /api/v1/regions")
        pairs = sorted((v.pairs[region] for v in fleet.models.values() if region in v.pairs), key=_pair_key)
        answer = answers.Region(
            fresh=self._board.freshness(),
            revision=fleet.revision,
            region=answers.region_line(fleet, region),
            workers=tuple(map(answers.worker_line, fleet.workers.get(region, ()))),
            models=tuple(map(answers.pair_line, pairs[:LIMIT_MAX])),
            models_total=len(pairs),
        )
        return self._answer(request, answer, cached=False)

    async def refused(self, request: web.Request) -> web.Response:
        """What regions refuse."""
        fleet = self._board.fleet
        pairs = sorted((p for p in fleet.pairs() if p.word is Word.REFUSED), key=_pair_key)
        lines = tuple(map(answers.pair_line, pairs[:LIMIT_MAX]))
        return self._answer(request, answers.Refusals(self._board.freshness(), fleet.revision, lines, len(pairs)))

    async def entries(self, request: web.Request) -> web.Response:
        """The newest log entries."""
        board = self._board
        return self._answer(
            request, answers.Entries(board.freshness(), tuple(reversed(board.announced.lines))), cached=False
        )

    async def groups(self, request: web.Request) -> web.Response:
        """How far the consumer groups have read, worst first."""
        watch = self._groups
        found = sorted(watch.groups, key=lambda g: (group_rank(g.word), -(g.lag_seconds or 0.0), g.group))
        words = tuple(answers.GroupWordLine(word, means) for word, means in GROUP_WORDS.items())
        answer = answers.Groups(self._board.freshness(), watch.looked_at_us, watch.error, tuple(found), words)
        return self._answer(request, answer, cached=False)

    async def probe(self, request: web.Request) -> web.Response:
        """How long the newest probe took, hop by hop."""
        fresh = self._board.freshness()
        answer = answers.Probing(fresh, self._board.probes.view(fresh.as_of_us))
        return self._answer(request, answer, cached=False)

    async def grid(self, request: web.Request) -> web.Response:
        """All pairs, a byte each."""
        board = self._board
        return self._bytes(request, grid(board.fleet, board.freshness().as_of_us), "application/octet-stream")

    async def words(self, request: web.Request) -> web.Response:
        """The status words."""
        return self._answer(request, answers.words(), cached=False)

    # -------------------------------------------------------------------------------------------------------------

    def _view(self, request: web.Request) -> ModelView:
        name = check_model(request.match_info["model"])
        try:
            return self._board.fleet.models[name]
        except KeyError:
            hint = f"modelcast history {name}"
            raise NotFound("the tracker knows of no such model", subject=name, hint=hint) from None

    def _answer(self, request: web.Request, answer: Any, *, cached: bool = True) -> web.Response:
        return self._bytes(request, dumps(answer), "application/json", cached=cached)

    def _bytes(self, request: web.Request, body: bytes, kind: str, *, cached: bool = True) -> web.Response:
        headers = {"Cache-Control": "no-cache"}
        if cached:
            tag = f"{self._board.stream.boot}-{self._board.fleet.revision}-{int(self._board.freshness().stale)}"
            headers["ETag"] = f'"{tag}"'
            if any(etag.value == tag for etag in request.if_none_match or ()):
                return web.Response(status=304, headers=headers)
        response = web.Response(body=body, content_type=kind, headers=headers)
        response.enable_compression()
        return response


def _problem_key(problem: Problem) -> Key:
    return (rank(problem.word), -problem.pairs, problem.since_us or FOREVER_US, problem.id)


def _pair_key(pair: Pair) -> Key:
    return (not pair.counted, rank(pair.word), pair.since_us or FOREVER_US, pair.model, pair.row.region)


_MODEL_KEYS: dict[str, Callable[[ModelView], Key]] = {
    "worst": lambda view: (rank(view.word), *_trouble(view), _since(view), view.state.model),
    "name": lambda view: (view.state.model,),
}


def _trouble(view: ModelView) -> Iterator[int]:
    """How many pairs have each word, worst first: models that a silent region makes equal differ in what else is so."""
    return (-view.words.get(word, 0) for word in Word if word in TROUBLE)


def _since(view: ModelView) -> int:
    return min((p.since_us for p in view.pairs.values() if p.word is view.word and p.since_us), default=FOREVER_US)


def _one_of(value: str, subject: str, known: Sequence[str]) -> str:
    if value not in known:
        raise UsageError(f"{value[:40]!r} is not known", subject=subject, hint=f"one of {', '.join(known)}")
    return value
