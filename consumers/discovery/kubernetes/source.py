"""A ``PodSource``: list a Service's EndpointSlices once, then follow what changes."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any
from urllib.parse import quote

from modelcast.consumers.discovery.decider.endpoint_slices import PodPort, pods_of
from modelcast.consumers.discovery.kubernetes.api import ApiAccess, ApiServer, VersionGone, in_cluster, own_namespace
from modelcast.consumers.discovery.port import DiscoveryFailed, PodAddress

SERVICE_LABEL = "kubernetes.io/service-name"
REOPEN_SECONDS = 1.0
"""Before a watch that has ended is opened again: servers end them at any time, a broken one at once."""

WatchEvent = Mapping[str, Any]


class EndpointSliceSource:
    """A ``PodSource`` of one Service.

    Args:
        service: whose pods.
        namespace: where it is; "": this pod's own.
        port: which port of the pods.
        access: how the API server is reached; None: as from within the cluster.
    """

    def __init__(self, service: str, namespace: str, port: PodPort, access: ApiAccess | None = None) -> None:
        self._service = service
        self._namespace = namespace
        self._port = port
        self._access = access
        self._server: ApiServer | None = None
        self._slices: dict[str, Mapping[str, Any]] = {}
        self._version = ""
        self._events: AsyncIterator[WatchEvent] | None = None

    async def look(self) -> tuple[PodAddress, ...]:
        """See ``PodSource.look``."""
        await self._end_watch()
        server, path = self._reached()
        items, self._version = await server.list(path, self._selector)
        self._slices = {_name(item): item for item in items}
        return self._pods()

    async def news(self) -> tuple[PodAddress, ...] | None:
        """See ``PodSource.news``. Also returns when nothing has changed, but the server has shown that it watches."""
        if self._events is None:
            server, path = self._reached()
            self._events = server.watch(path, self._selector, self._version)
        try:
            event = await anext(self._events, None)
            if event is None:  # it ends without a word, and may have missed nothing: the version says
                await self._end_watch()
                await asyncio.sleep(REOPEN_SECONDS * random.uniform(0.5, 1.0))
                return self._pods()
            return self._pods() if self._taken_in(event) else None
        except VersionGone:
            await self._end_watch()
            return None

    async def aclose(self) -> None:
        """See ``PodSource.aclose``."""
        await self._end_watch()
        if self._server is not None:
            await self._server.aclose()

    @property
    def _selector(self) -> str:
        return f"{SERVICE_LABEL}={self._service}"

    def _reached(self) -> tuple[ApiServer, str]:
        if self._server is None:
            self._server = ApiServer(self._access or in_cluster())
        namespace = self._namespace or own_namespace()
        return self._server, f"/apis/discovery.k8s.io/v1/namespaces/{quote(namespace, safe='')}/endpointslices"

    def _taken_in(self, event: WatchEvent) -> bool:
        """Apply an event; False: the slices are not known any more, and must be listed.

        Raises:
            DiscoveryFailed: the server reports an error.
        """
        kind, found = event.get("type"), event.get("object")
        if not isinstance(found, Mapping):
            return not event  # {}: the watch was accepted
        if kind == "ERROR":
            if found.get("code") == 410:
                raise VersionGone
            raise DiscoveryFailed(f"the watch failed: {found.get('message') or found.get('reason')}")
        if (version := (found.get("metadata") or {}).get("resourceVersion")) and kind in _EVENTS:
            self._version = str(version)
        if (change := _EVENTS.get(str(kind))) is not None:
            change(self._slices, found)
        return True

    def _pods(self) -> tuple[PodAddress, ...]:
        return pods_of(self._slices.values(), self._port)

    async def _end_watch(self) -> None:
        events, self._events = self._events, None
        if events is not None:
            await events.aclose()  # type: ignore[attr-defined]  # a generator: its connection is closed


def _name(item: Mapping[str, Any]) -> str:
    try:
        return str(item["metadata"]["name"])
    except (KeyError, TypeError):
        raise DiscoveryFailed("an EndpointSlice has no name") from None


def _keep(slices: dict[str, Mapping[str, Any]], found: Mapping[str, Any]) -> None:
    slices[_name(found)] = found


def _drop(slices: dict[str, Mapping[str, Any]], found: Mapping[str, Any]) -> None:
    slices.pop(_name(found), None)


def _nothing(slices: dict[str, Mapping[str, Any]], found: Mapping[str, Any]) -> None:
    """A bookmark: only the version is news."""


_EVENTS: Mapping[str, Callable[[dict[str, Mapping[str, Any]], Mapping[str, Any]], None]] = {
    "ADDED": _keep,
    "MODIFIED": _keep,
    "DELETED": _drop,
    "BOOKMARK": _nothing,
}
