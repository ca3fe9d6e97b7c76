"""``/api/v1``: what was served when, and what differs between versions; from the origin store alone."""

import time
from collections.abc import Mapping
from datetime import UTC, datetime

from aiohttp import web

from modelcast.dashboard.dashboard import Dashboard
from modelcast.dashboard.sources.history_source import HistorySource
from modelcast.dashboard.stream import dumps
from modelcast.dashboard.view.entries import entry_line
from modelcast.dashboard.web.history_answers import AtAnswer, DiffAnswer, GenerationAnswer, HistoryAnswer, LagsAnswer
from modelcast.infra.history import ModelHistory
from modelcast.schemas.errors import NotFound, UsageError
from modelcast.schemas.history.lags import lag_curve
from modelcast.schemas.history.region_timelines import generation_times, region_timelines
from modelcast.schemas.names import check_model, check_region, check_version

SECOND = 1_000_000
SPAN_US = 6 * 3600 * SECOND
SPAN_US_MAX = 31 * 24 * 3600 * SECOND
AHEAD_US_MAX = 60 * SECOND
"""So far the clock of who asks may be ahead."""
ENTRIES_MAX = 200
NO_STORE = {"Cache-Control": "no-cache"}
_HINT = "write 2026-11-30T03:41Z, or microseconds since 1970"


class HistoryApi:
    """The handlers.

    Args:
        board: how old what else is shown is.
        source: the origin store.
    """

    def __init__(self, board: Dashboard, source: HistorySource) -> None:
        self._board, self._source = board, source

    def routes(self, base: str) -> list[web.RouteDef]:
        """Paths and handlers."""
        return [
            web.get(base + "/at", self.at),
            web.get(base + "/models/{model}/history", self.history),
            web.get(base + "/models/{model}/lags", self.lags),
            web.get(base + "/models/{model}/generations/{generation}", self.generation),
            web.get(base + "/models/{model}/diff", self.diff),
        ]

    async def history(self, request: web.Request) -> web.Response:
        """What each region of a model served in a span."""
        model, (from_us, to_us) = check_model(request.match_info["model"]), _span(request.query)

        def answer(history: ModelHistory) -> HistoryAnswer:
            recorded, entries = history.recorded(from_us, to_us), history.entries
            there = [stored for stored in entries.values() if from_us <= stored.received_us <= to_us]
            return HistoryAnswer(
                self._board.freshness(),
                model,
                from_us,
                to_us,
                recorded.through_us,
                region_timelines(recorded, from_us, to_us),
                generation_times(entries, recorded, from_us, to_us),
                tuple(entry_line(stored.entry, stored.received_us) for stored in there[-ENTRIES_MAX:]),
            )

        return _answer(await self._source.ask(model, answer))

    async def lags(self, request: web.Request) -> web.Response:
        """How far behind a model was in a span."""
        model, (from_us, to_us) = check_model(request.match_info["model"]), _span(request.query)

        def answer(history: ModelHistory) -> LagsAnswer:
            entries = history.entries
            there = [stored for stored in entries.values() if from_us <= stored.received_us <= to_us]
            return LagsAnswer(
                self._board.freshness(),
                model,
                from_us,
                to_us,
                lag_curve(history.recorded(from_us, to_us), entries, from_us, to_us),
                tuple(entry_line(stored.entry, stored.received_us) for stored in there[-ENTRIES_MAX:]),
            )

        try:
            return _answer(await self._source.ask(model, answer))
        except NotFound:
            if model not in self._board.overview.models:
                raise
            return _answer(LagsAnswer(self._board.freshness(), model, from_us, to_us, (), ()))  # nothing is archived

    async def at(self, request: web.Request) -> web.Response:
        """What regions of a model served at a time, and should have."""
        query = request.query
        if "model" not in query:
            raise UsageError("which model?", subject="model", hint="add model=NAME")
        model = check_model(query["model"])
        region = check_region(query["region"]) if "region" in query else None
        at_us = time_us(query["time"], "time") if "time" in query else time.time_ns() // 1000
        if at_us > time.time_ns() // 1000 + AHEAD_US_MAX:
            raise UsageError("that time is still to come", subject="time", hint="ask for one that has passed")
        pairs = await self._source.ask(model, lambda history: history.at(at_us, region))
        return _answer(AtAnswer(self._board.freshness(), model, at_us, pairs))

    async def generation(self, request: web.Request) -> web.Response:
        """How one generation of a model went."""
        model, number = check_model(request.match_info["model"]), request.match_info["generation"]
        if not (number.isascii() and number.isdigit() and len(number) <= 18):
            raise UsageError(f"{number[:40]!r} is no generation", subject="generation", hint="it is a number from 1 on")
        generation = int(number)

        def answer(history: ModelHistory) -> GenerationAnswer:
            stored = history.entries.get(generation)
            if stored is None:
                hint = f"modelcast history {model}"
                raise NotFound("no such generation", subject=f"{model} generation {generation}", hint=hint)
            line = entry_line(stored.entry, stored.received_us)
            return GenerationAnswer(self._board.freshness(), model, generation, line, history.generation(generation))

        return _answer(await self._source.ask(model, answer))

    async def diff(self, request: web.Request) -> web.Response:
        """What differs between two versions."""
        model = check_model(request.match_info["model"])
        before, after = (_version(request.query.get(name, ""), name) for name in ("from", "to"))
        return _answer(DiffAnswer(self._board.freshness(), await self._source.difference(model, before, after)))


def _span(query: Mapping[str, str]) -> tuple[int, int]:
    """From when to when, UTC microseconds: the last six hours where nothing is said.

    Raises:
        UsageError: it is no span, or too long.
    """
    to_us = time_us(query["to"], "to") if "to" in query else time.time_ns() // 1000
    from_us = time_us(query["from"], "from") if "from" in query else to_us - SPAN_US
    if not 0 < to_us - from_us <= SPAN_US_MAX:
        raise UsageError("no such span", subject="from, to", hint="from lies before to, by 31 days at most")
    return from_us, to_us


def time_us(text: str, subject: str) -> int:
    """A time as microseconds, or as ISO 8601 has it (UTC where it names no zone).

    Raises:
        UsageError: it is neither.
    """
    if text.isascii() and text.isdigit() and len(text) <= 16:
        return int(text)
    try:
        at = datetime.fromisoformat(text)
        return round((at if at.tzinfo is not None else at.replace(tzinfo=UTC)).timestamp() * SECOND)
    except (ValueError, OverflowError):
        raise UsageError(f"{text[:40]!r} is no time", subject=subject, hint=_HINT) from None


def _version(text: str, subject: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise UsageError(f"{text[:40]!r} is no version", subject=subject, hint="add from=NUMBER&to=NUMBER")
    return check_version(int(text[:12]))


def _answer(body: HistoryAnswer | LagsAnswer | AtAnswer | DiffAnswer | GenerationAnswer) -> web.Response:
    response = web.Response(body=dumps(body), content_type="application/json", headers=NO_STORE)
    response.enable_compression()
    return response
