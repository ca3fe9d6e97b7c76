"""A model of ONNX Runtime in this process, or in one of its own behind a socket, as a pod has it.

What the bare applications share, whatever HTTP server runs them: no fence, no verification, no read-back.
"""

import asyncio
import os
import socket
import struct
from collections import deque
from pathlib import Path

import numpy as np
import onnxruntime as ort
import orjson

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

    def infer(self, body: bytes) -> "asyncio.Future[bytes]":
        return self._ask(b"I", body)

    def load(self, folder: str) -> "asyncio.Future[bytes]":
        return self._ask(b"L", folder.encode())

    def _ask(self, kind: bytes, body: bytes) -> "asyncio.Future[bytes]":
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


def forked(folder: Path) -> socket.socket:
    """Start the process that answers; our end of its socket. It ends when that is closed."""
    ours, theirs = socket.socketpair()
    if os.fork() == 0:
        ours.close()
        _serve(theirs, folder)
        os._exit(0)
    theirs.close()
    return ours


async def connected(channel: socket.socket) -> Child:
    child = Child()
    await asyncio.get_running_loop().create_unix_connection(lambda: child, sock=channel)
    return child


def _serve(channel: socket.socket, folder: Path) -> None:
    model, stream = Model(folder), channel.makefile("rb")
    while head := stream.read(4):
        frame = stream.read(_SIZE.unpack(head)[0])
        if frame[:1] == b"L":
            model, answer = Model(Path(frame[1:].decode())), b"{}"
        else:
            answer = model.infer(frame[1:])
        channel.sendall(_SIZE.pack(len(answer)) + answer)
