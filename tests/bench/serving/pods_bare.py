"""What a pod is compared with: an aiohttp application of a few lines that answers from ONNX Runtime.

``python -m tests.bench.serving.pods_bare PORT FOLDER [--isolated]``: ONNX Runtime in the event loop's own process, or,
with ``--isolated``, in a process of its own behind a socket, as a pod has it. ``POST /load`` with a folder loads
another version in a thread and replaces the session: no fence, no verification, no read-back.
"""

import argparse
import asyncio
import os
import socket
import struct
from collections import deque
from pathlib import Path

import numpy as np
import onnxruntime as ort
import orjson
from aiohttp import web

_SIZE = struct.Struct("<I")


class Model:
    def __init__(self, folder: Path) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = ort.InferenceSession(str(folder / "model.onnx"), options)
        self._version = folder.name

    def infer(self, body: bytes) -> bytes:
        (item,) = orjson.loads(body)["inputs"]
        (y,) = self._session.run(["y"], {item["name"]: np.array(item["data"], "i8").reshape(item["shape"])})
        output = {"name": "y", "datatype": "FP32", "shape": list(y.shape), "data": y.ravel()}
        answer = {"model_name": "table", "model_version": self._version, "outputs": [output]}
        return orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY)


class Child(asyncio.Protocol):
    """The far end: a process that answers one request after the other."""

    def __init__(self) -> None:
        self._waiting: deque[asyncio.Future[bytes]] = deque()
        self._buffer = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def ask(self, kind: bytes, body: bytes) -> "asyncio.Future[bytes]":
        future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        self._transport.write(_SIZE.pack(len(body) + 1) + kind + body)  # type: ignore[attr-defined]
        return future

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while len(self._buffer) >= 4:
            end = 4 + _SIZE.unpack_from(self._buffer)[0]
            if len(self._buffer) < end:
                return
            self._waiting.popleft().set_result(bytes(self._buffer[4:end]))
            del self._buffer[:end]


def serve_child(channel: socket.socket, folder: Path) -> None:
    model, stream = Model(folder), channel.makefile("rb")
    while head := stream.read(4):
        frame = stream.read(_SIZE.unpack(head)[0])
        if frame[:1] == b"L":
            model, answer = Model(Path(frame[1:].decode())), b"{}"
        else:
            answer = model.infer(frame[1:])
        channel.sendall(_SIZE.pack(len(answer)) + answer)


async def serve(port: int, folder: Path, channel: socket.socket | None) -> None:
    child = Child()
    held = {"model": None if channel else Model(folder)}
    if channel is not None:
        await asyncio.get_running_loop().create_unix_connection(lambda: child, sock=channel)

    async def infer(request: web.Request) -> web.Response:
        body, model = await request.read(), held["model"]
        answer = model.infer(body) if model else await child.ask(b"I", body)
        return web.Response(body=answer, content_type="application/json")

    async def load(request: web.Request) -> web.Response:
        text = await request.text()
        if channel is None:
            held["model"] = await asyncio.to_thread(Model, Path(text))
        else:
            await child.ask(b"L", text.encode())
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
    channel = None
    if arguments.isolated:
        channel, theirs = socket.socketpair()
        if os.fork() == 0:
            channel.close()
            serve_child(theirs, arguments.folder)
            os._exit(0)
        theirs.close()
    asyncio.run(serve(arguments.port, arguments.folder, channel))


if __name__ == "__main__":
    main()
