"""A bare ASGI application for uvicorn and granian, with the isolation of a pod: as ``pods_bare --isolated``.

FOLDER in the environment holds the version to begin with. It runs in an environment of its own, with the servers.
"""

import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from tests.bench.serving.pods_isolated import Child, connected, forked

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

_channel = forked(Path(os.environ["FOLDER"]))  # before the event loop runs
_child: list[Child] = []


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        await _lifespan(receive, send)
        return
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    child = _child[0]
    answer = await (child.load(body.decode()) if scope["path"] == "/load" else child.infer(body))
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(answer)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": answer})


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            _child.append(await connected(_channel))
            await send({"type": "lifespan.startup.complete"})
        else:
            await send({"type": "lifespan.shutdown.complete"})
            return
