"""The web application: API, events, pages, probes; who may ask, and how errors are answered."""

import asyncio
import ipaddress
from collections.abc import Awaitable, Callable

import structlog
from aiohttp import web
from aiohttp.typedefs import Middleware
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from modelcast.dashboard.actions import CommandWriter, Identities, ReplayWriter, Requester
from modelcast.dashboard.dashboard import Dashboard
from modelcast.dashboard.groups import GroupsWatch
from modelcast.dashboard.metrics import collected
from modelcast.dashboard.sources.history_source import HistorySource
from modelcast.dashboard.sources.letter_source import LetterSource
from modelcast.dashboard.sources.log_reader import LogSource
from modelcast.dashboard.sources.pod_lists import PodLists
from modelcast.dashboard.stream import dumps
from modelcast.dashboard.web import pages
from modelcast.dashboard.web.acting import Acting
from modelcast.dashboard.web.answers import Fault
from modelcast.dashboard.web.api import BASE, Api
from modelcast.dashboard.web.events import Events
from modelcast.dashboard.web.history_api import HistoryApi
from modelcast.dashboard.web.openapi import document
from modelcast.dashboard.web.pages import Pages
from modelcast.dashboard.web.waiting import Waits
from modelcast.infra.settings import Settings
from modelcast.schemas.errors import ModelcastError, NotFound, UsageError
from modelcast.schemas.text.tokens import TokenDigests

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
LOCAL_NAMES = frozenset({"localhost"})
HEALTH_PATHS = frozenset({"/livez", "/readyz", "/metrics"})

log = structlog.get_logger(__name__)


def make_web_app(
    settings: Settings,
    board: Dashboard,
    logs: LogSource,
    groups: GroupsWatch,
    commands: CommandWriter,
    history: HistorySource,
) -> web.Application:
    """The application over a dashboard's state.

    Raises:
        UsageError: ``dashboard.actions`` contradicts itself.
    """
    events, waits = Events(board, settings.dashboard.watchers_max), Waits(board, settings.dashboard.watchers_max)
    identities = Identities(settings.dashboard.actions)
    app = web.Application(middlewares=[_guard(settings, identities)], client_max_size=64 * 1024)
    letters, pods = LetterSource(settings), PodLists(settings)
    acting = Acting(board, identities, commands, ReplayWriter(settings), letters)
    app.add_routes(
        [
            *Api(settings, board, logs, groups, letters, pods).routes(),
            *acting.routes(BASE),
            *HistoryApi(board, history).routes(BASE),
            *events.routes(),
            *waits.routes(),
            *Pages().routes(),
            *_probes(board, groups, TokenDigests(settings.daemon.metrics_tokens)),
        ]
    )

    async def close_pods(_app: web.Application) -> None:
        pods.close()

    app.on_shutdown.append(events.close)
    app.on_shutdown.append(waits.close)
    app.on_shutdown.append(close_pods)
    app.on_response_prepare.append(_sign)
    return app


async def _sign(_request: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(pages.HEADERS)
    response.headers.setdefault("Cache-Control", "no-store")
    response.headers.pop("Server", None)


def _guard(settings: Settings, identities: Identities) -> Middleware:
    """Refuses hosts that are not this dashboard's, and who may not read it; turns errors into answers."""
    readers = TokenDigests(settings.dashboard.read_tokens)

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path not in HEALTH_PATHS and not host_allowed(
            request.host, settings.dashboard.host, settings.dashboard.hosts
        ):
            hint = "add it to dashboard.hosts"  # else any page could have a browser read this one by a name of its own
            return _fault(421, Fault("this dashboard does not answer to that name", request.host[:100], hint))
        if request.path not in HEALTH_PATHS and not readers.admit(request.headers.get("Authorization")):
            asked = Requester(request.headers, request.remote, request.host)
            if not identities.is_known(asked, asyncio.get_running_loop().time()):
                hint = "send Authorization: Bearer TOKEN, or come by the proxy that signs people in"
                answer = _fault(401, Fault("this dashboard is read with a token", request.path[:200], hint))
                answer.headers["WWW-Authenticate"] = "Bearer"
                return answer
        try:
            return await handler(request)
        except UsageError as error:
            return _fault(400, _of(error))
        except NotFound as error:
            return _fault(404, _of(error))
        except web.HTTPNotFound:
            return _fault(404, Fault("there is no such page", request.path[:200], "see / or /openapi.json"))
        except web.HTTPMethodNotAllowed:
            return _fault(405, Fault("this dashboard is only read", request.method, "use the command line"))
        except web.HTTPException:
            raise
        except ModelcastError as error:
            return _fault(503, _of(error))
        except Exception as error:
            if request.transport is None or request.transport.is_closing():
                raise
            log.exception("a request failed", path=request.path, error=repr(error))
            return _fault(500, Fault("this is a fault of the dashboard", request.path[:200], "see the dashboard's log"))

    return guard


def host_allowed(host: str, bound: str, allowed: tuple[str, ...]) -> bool:
    """Whether a request may name ``host``. Bound to loopback, only loopback's names and those of the settings."""
    name = host.rsplit(":", 1)[0] if not host.endswith("]") else host
    name = name.strip("[]").lower()
    if allowed and name in {each.lower() for each in allowed}:
        return True
    if name in LOCAL_NAMES or name == bound.lower():
        return True
    address = _address(name)
    if address is not None and address.is_loopback:
        return True
    return not on_loopback(bound) and not allowed


def on_loopback(host: str) -> bool:
    """Whether only this machine reaches ``host``."""
    address = _address(host)
    return host in LOCAL_NAMES or (address is not None and address.is_loopback)


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def _of(error: ModelcastError) -> Fault:
    return Fault(error.message, error.subject, error.hint)


def _fault(status: int, fault: Fault) -> web.Response:
    return web.Response(status=status, body=dumps(fault), content_type="application/json")


def _probes(board: Dashboard, groups: GroupsWatch, readers: TokenDigests) -> list[web.RouteDef]:
    async def live(_request: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def ready(_request: web.Request) -> web.Response:
        why = board.ready
        return web.Response(text=f"{why or 'ok'}\n", status=503 if why else 200)

    async def metrics(request: web.Request) -> web.Response:
        if not readers.admit(request.headers.get("Authorization")):
            raise web.HTTPUnauthorized(text="metrics need a token\n", headers={"WWW-Authenticate": "Bearer"})
        return web.Response(
            body=generate_latest(collected(board, groups)), headers={"Content-Type": CONTENT_TYPE_LATEST}
        )

    async def openapi(_request: web.Request) -> web.Response:
        return web.Response(body=dumps(document()), content_type="application/json")

    return [
        web.get("/livez", live),
        web.get("/readyz", ready),
        web.get("/metrics", metrics),
        web.get("/openapi.json", openapi),
    ]
