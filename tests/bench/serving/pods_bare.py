"""What a pod is compared with: an aiohttp application of a few lines that answers from ONNX Runtime.

``python -m tests.bench.serving.pods_bare PORT FOLDER [--isolated]``: ONNX Runtime in the event loop's own process, or,
with ``--isolated``, in a process of its own behind a socket. ``POST /load`` with a folder loads another version in a
thread and replaces the session.
"""

import argparse
import asyncio
import socket
from pathlib import Path

from aiohttp import web

from tests.bench.serving.pods_isolated import Model, connected, forked


async def serve(port: int, folder: Path, channel: socket.socket | None) -> None:
    child = await connected(channel) if channel else None
    held = {"model": None if child else Model(folder)}

    async def infer(request: web.Request) -> web.Response:
        body, model = await request.read(), held["model"]
        answer = model.infer(body) if model else await child.infer(body)  # type: ignore[union-attr]
        return web.Response(body=answer, content_type="application/json")

    async def load(request: web.Request) -> web.Response:
        text = await request.text()
        if child is None:
            held["model"] = await asyncio.to_thread(Model, Path(text))
        else:
            await child.load(text)
        return web.Response(body=b"{}")

    app = web.Application()
    app.add_routes([web.post("/v2/models/table/infer", infer), web.post("/load", load)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    await asyncio.Event().wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--isolated", action="store_true")
    arguments = parser.parse_args()
    channel = forked(arguments.folder) if arguments.isolated else None
    asyncio.run(serve(arguments.port, arguments.folder, channel))


if __name__ == "__main__":
    main()
