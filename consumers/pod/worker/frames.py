"""Frames between the pod's front process and a worker: a fixed header, then the body.

The body of a request or answer is V2 as it came over HTTP, so the front never looks inside.
"""

import socket
import struct
from enum import IntEnum
from typing import NamedTuple

_HEADER = struct.Struct("<QIIIH")
HEADER_SIZE_BYTES = _HEADER.size
_CHUNK_BYTES = 256 * 1024
ALL_JSON = 0xFFFFFFFF  # json_size_bytes of a body without binary tensors
NO_PART = 0xFFFF  # status of a request for a model that has parts only
STATUS_MASK = 0x0FFF  # of an answer's status: what HTTP knows; above it stands what was seen of the outputs
NOT_FINITE = 0x1000  # NaN or infinity is in them
REPEATED = 0x2000  # they are just those of the answer before, to another request
EMPTY = 0x4000  # they hold nothing at all
SCORE_SHIFT = 16  # above it stands the bin of the answer's score (``score_bin``) and 1; 0: it has none


class FrameKind(IntEnum):
    """What a frame means."""

    PREPARE = 0  # front: the pickled factory of the artifact source, so that its imports are done early too
    WARM = 1  # worker: the imports are done
    LOAD = 2  # front: a pickled LoadSpec
    READY = 3  # worker: the model's metadata as JSON; it serves from now on
    FAILED = 4  # worker: why it can't, as JSON
    INFER = 5  # front
    ANSWER = 6  # worker
    STAGE = 7  # worker: what of the load it begins now
    NEEDS = 8  # worker: how many bytes of memory the load takes at least, as decimal digits
    GRANTED = 9  # front: how many it may take, as decimal digits; none: as many as it wants
    INFER_AND_LOOK = 10  # front: as INFER, and the answer's status also says what the outputs are like


class WorkerFrame(NamedTuple):
    """One message. ``status`` is an answer's HTTP status, or the place of the model's part that a request is for."""

    kind: int
    request_id: int
    status: int
    json_size_bytes: int
    body: bytes


def header(
    kind: FrameKind, body_size_bytes: int, *, request_id: int = 0, status: int = 0, json_size_bytes: int = ALL_JSON
) -> bytes:
    """The header of a frame whose body follows."""
    return _HEADER.pack(request_id, json_size_bytes, body_size_bytes, status, kind)


class FrameReader:
    """Frames from a blocking socket; one thread at a time."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._buffer = bytearray()

    def arrived(self) -> WorkerFrame | None:
        """The next frame if all of it is here already."""
        return take_frame(self._buffer)

    def read(self) -> WorkerFrame | None:
        """The next frame, waited for; None: the stream has ended."""
        while (frame := take_frame(self._buffer)) is None:
            chunk = self._channel.recv(_CHUNK_BYTES)
            if not chunk:
                return None
            self._buffer += chunk
        return frame


def take_frame(buffer: bytearray) -> WorkerFrame | None:
    """Cut the first whole frame off ``buffer``; None if it has not all arrived."""
    if len(buffer) < HEADER_SIZE_BYTES:
        return None
    request_id, json_size_bytes, size_bytes, status, kind = _HEADER.unpack_from(buffer)
    end = HEADER_SIZE_BYTES + size_bytes
    if len(buffer) < end:
        return None
    with memoryview(buffer) as view:
        body = bytes(view[HEADER_SIZE_BYTES:end])
    del buffer[:end]
    return WorkerFrame(kind, request_id, status, json_size_bytes, body)
