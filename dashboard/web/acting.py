"""Commands and replays by ``POST``, and whether they may be asked."""

import asyncio

import structlog
from aiohttp import web

from modelcast.dashboard.actions import CommandWriter, Identities, ReplayWriter, Requester, Unwelcome
from modelcast.dashboard.dashboard import Dashboard
from modelcast.dashboard.sources.letter_source import LetterSource
from modelcast.dashboard.stream import dumps
from modelcast.dashboard.web.answers import Actions, Fault, action_line
from modelcast.schemas.errors import MovedOn, NotAnnounced, NotFound, Refused

NO_STORE = {"Cache-Control": "no-store"}
OFFSET_MAX = 2**62

log = structlog.get_logger(__name__)


class Acting:
    """The handlers.

    Args:
        board: what is shown: its models and regions are those that can be commanded.
        identities: who may command.
        commands: writes commands.
        replays: sends dead letters back.
        letters: what lies on the dead letters; told when one was sent back.
    """

    def __init__(
        self,
        board: Dashboard,
        identities: Identities,
        commands: CommandWriter,
        replays: ReplayWriter,
        letters: LetterSource,
    ) -> None:
        self._board, self._identities, self._commands = board, identities, commands
        self._replays, self._letters = replays, letters

    def routes(self, base: str) -> list[web.RouteDef]:
        """Paths and handlers."""
        return [
            web.get(base + "/actions", self.actions),
            web.post(base + "/models/{model}/commands", self.command),
            web.post(base + "/dead-letters/{offset}/replay", self.replay),
        ]

    async def actions(self, _request: web.Request) -> web.Response:
        """Whether this dashboard takes commands, and which."""
        known = self._identities
        answer = Actions(
            known.enabled, known.by_proxy, tuple(map(action_line, self._commands.kinds)) if known.enabled else ()
        )
        return web.Response(body=dumps(answer), content_type="application/json", headers=NO_STORE)

    async def command(self, request: web.Request) -> web.Response:
        """Write a command into the model's log, or say what it would change."""
        who = self._who(request)
        if isinstance(who, web.Response):
            return who
        view = self._board.overview.models.get(request.match_info["model"])
        if view is None:
            raise NotFound("no such model", subject=request.match_info["model"][:80], hint="see /api/v1/models")
        model, body = view.state.model, await request.read()
        regions = frozenset(view.pairs)
        try:
            done = await asyncio.to_thread(
                self._commands.take,
                model,
                body,
                requested_by=who,
                source=_source(request),
                regions=regions,
                last_consistent=view.state.last_consistent_version,
            )
        except Refused as error:
            return _refusal(error)
        except NotAnnounced as error:  # it stands in the log, and the tracker announces it
            return _fault(202, Fault(error.message, error.subject, error.hint))
        if done.written:
            log.info("commanded", model=model, kind=done.kind.value, generation=done.generation, by=who)
        return web.Response(body=dumps(done), content_type="application/json", headers=NO_STORE)

    async def replay(self, request: web.Request) -> web.Response:
        """Send a dead letter back to where it came from, or say what would be sent."""
        who = self._who(request)
        if isinstance(who, web.Response):
            return who
        text = request.match_info["offset"]
        if not (text.isascii() and text.isdigit() and len(text) <= 20 and int(text) < OFFSET_MAX):
            raise NotFound("no such dead letter", subject=text[:40], hint="see /api/v1/dead-letters")
        body = await request.read()
        try:
            done = await asyncio.to_thread(
                self._replays.take, int(text), body, requested_by=who, source=_source(request)
            )
        except Refused as error:
            return _refusal(error)
        if done.sent:
            self._letters.forget()
            log.info("a dead letter is sent back", offset=done.offset, topic=done.topic, by=who)
        return web.Response(body=dumps(done), content_type="application/json", headers=NO_STORE)

    def _who(self, request: web.Request) -> str | web.Response:
        """Who asks, or why that is not listened to."""
        try:
            now = asyncio.get_running_loop().time()
            who = self._identities.who(Requester(request.headers, request.remote, request.host), now)
        except Unwelcome as error:
            log.warning("a command is refused", peer=request.remote, path=request.path, error=error.message)
            headers = {"WWW-Authenticate": "Bearer"} if error.status == 401 else {}
            if error.retry_after_seconds:
                headers["Retry-After"] = str(error.retry_after_seconds)
            return _fault(error.status, Fault(error.message, request.path[:200], error.hint), headers)
        if request.content_type != "application/json":
            hint = "send Content-Type: application/json"
            return _fault(415, Fault("the request is no JSON", request.content_type[:100], hint))
        return who


def _source(request: web.Request) -> str:
    """Where a request comes from, for the audit."""
    return f"a dashboard, asked from {request.remote or 'a unix socket'}"


def _refusal(error: Refused) -> web.Response:
    status = 409 if isinstance(error, MovedOn) else 422
    return _fault(status, Fault(error.message, error.subject, error.hint))


def _fault(status: int, fault: Fault, headers: dict[str, str] | None = None) -> web.Response:
    return web.Response(
        status=status, body=dumps(fault), content_type="application/json", headers={**NO_STORE, **(headers or {})}
    )
