"""A Kubernetes API server that has EndpointSlices and nothing else, built from the documented protocol.

Lists in pages (``limit``, ``continue``), watches with ``resourceVersion``, bookmarks, ``timeoutSeconds`` and 410 Gone,
asks for a bearer token. https://kubernetes.io/docs/reference/using-api/api-concepts/
"""

import asyncio
import json
import ssl
from typing import Any, Self

from aiohttp import web

NAMESPACE, SERVICE = "models", "pods"
PATH = f"/apis/discovery.k8s.io/v1/namespaces/{NAMESPACE}/endpointslices"
Slice = dict[str, Any]


def endpoint(
    name: str, address: str, *, uid: str = "", ready: bool | None = True, terminating: bool = False, zone: str = ""
) -> Slice:
    """One endpoint of a slice."""
    return {
        "addresses": [address],
        "conditions": {"ready": ready, "serving": ready, "terminating": terminating},
        "targetRef": {"kind": "Pod", "namespace": NAMESPACE, "name": name, "uid": uid or f"uid-{name}"},
        **({"zone": zone} if zone else {}),
    }


def a_slice(
    name: str, *endpoints: Slice, port: int | None = 8080, port_name: str = "http", family: str = "IPv4"
) -> Slice:
    """A slice of ``SERVICE``."""
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": name, "namespace": NAMESPACE, "labels": {"kubernetes.io/service-name": SERVICE}},
        "addressType": family,
        "endpoints": list(endpoints),
        "ports": [{"name": "http", "port": port, "protocol": "TCP"}],
    }


class KubernetesApi:
    """Runs as a context, on a free port of 127.0.0.1.

    Attributes:
        token: that it asks for; "": none.
        page: items of a list at once.
        oldest: versions below are gone.
        lists, watches: requests so far, with their parameters.
        refusing: a status with which it answers everything; 0: none.
        expired_pages: as many continuations are gone before one is answered.
        compressed: lists come in gzip, asked for or not.
    """

    def __init__(self, token: str = "", tls: ssl.SSLContext | None = None) -> None:
        self.token = token
        self.page = 500
        self.oldest = 0
        self.lists: list[dict[str, str]] = []
        self.watches: list[dict[str, str]] = []
        self.refusing = 0
        self.expired_pages = 0
        self.compressed = False
        self.version = 100
        self._tls = tls
        self._slices: dict[str, Slice] = {}
        self._events: list[tuple[int, dict[str, Any]]] = []
        self._told = asyncio.Condition()
        self._ended = 0  # watches opened before end at once

    async def __aenter__(self) -> Self:
        application = web.Application()
        application.router.add_get(PATH, self._answer)
        self._runner = web.AppRunner(application, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=self._tls)
        await site.start()
        self.url = f"{'https' if self._tls else 'http'}://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.end_watches()
        await self._runner.cleanup()

    # --- what a test does

    async def put(self, piece: Slice, *, silently: bool = False) -> None:
        """Write a slice. ``silently``: no watcher is told."""
        name = piece["metadata"]["name"]
        kind = "MODIFIED" if name in self._slices else "ADDED"
        self.version += 1
        piece["metadata"]["resourceVersion"] = str(self.version)
        self._slices[name] = piece
        if not silently:
            await self.tell(kind, piece)

    async def delete(self, name: str) -> None:
        """Delete a slice."""
        self.version += 1
        piece = self._slices.pop(name)
        piece["metadata"]["resourceVersion"] = str(self.version)
        await self.tell("DELETED", piece)

    async def bookmark(self) -> None:
        """Tell watchers how far they are."""
        self.version += 1
        found = {"kind": "EndpointSlice", "metadata": {"resourceVersion": str(self.version)}}
        await self.tell("BOOKMARK", found)

    async def fail(self, code: int, message: str) -> None:
        """Send watchers an error; it ends their watch."""
        self.version += 1
        await self.tell("ERROR", {"kind": "Status", "status": "Failure", "code": code, "message": message})
        await self.end_watches()

    async def tell(self, kind: str, found: Slice) -> None:
        """Send an event to every watcher, as it is."""
        async with self._told:
            self._events.append((self.version, {"type": kind, "object": json.loads(json.dumps(found))}))
            self._told.notify_all()

    async def end_watches(self) -> None:
        """End every watch without a word."""
        async with self._told:
            self._ended += 1
            self._told.notify_all()

    # --- what it answers

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        if self.refusing:
            return _status(self.refusing, "as the test wants it")
        if self.token and request.headers.get("Authorization") != f"Bearer {self.token}":
            return _status(401, "Unauthorized")
        parameters = dict(request.query)
        assert parameters["labelSelector"] == f"kubernetes.io/service-name={SERVICE}"
        if parameters.get("watch") == "1":
            self.watches.append(parameters)
            return await self._watch(request, int(parameters["resourceVersion"]))
        self.lists.append(parameters)
        if "continue" in parameters and self.expired_pages:
            self.expired_pages -= 1
            return _status(410, "the provided continue parameter is too old")
        first = int(parameters.get("continue", "0"))
        names = sorted(self._slices)
        rest = names[first + self.page :]
        meta = {"resourceVersion": str(self.version)} | ({"continue": str(first + self.page)} if rest else {})
        items = [self._slices[name] for name in names[first : first + self.page]]
        answer = web.json_response({"kind": "EndpointSliceList", "metadata": meta, "items": items})
        if self.compressed:
            answer.enable_compression(web.ContentCoding.gzip)
        return answer

    async def _watch(self, request: web.Request, version: int) -> web.StreamResponse:
        if version < self.oldest:
            return _status(410, "too old resource version")
        response = web.StreamResponse()
        response.content_type = "application/json"
        await response.prepare(request)
        sent, ended = 0, self._ended
        while True:
            async with self._told:
                await self._told.wait_for(lambda sent=sent: len(self._events) > sent or self._ended != ended)
                fresh, sent = self._events[sent:], len(self._events)
                over = self._ended != ended
            for at, event in fresh:
                if at > version:
                    await response.write(json.dumps(event).encode() + b"\n")
            if over:
                return response


def _status(code: int, message: str) -> web.Response:
    body = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "message": message}
    return web.json_response(body, status=code)
