"""The threads of a worker that answer requests: they take turns, and a quick model is answered by one alone."""

import socket
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from modelcast.consumers.pod.worker.frames import FrameKind, FrameReader, WorkerFrame, header

if TYPE_CHECKING:
    from modelcast.consumers.pod.worker.models.version import LoadedVersion

QUICK_SECONDS = 0.0003
QUICK_ANSWERS = 64
"""After so many, a thread goes on reading instead of handing over. One that took longer costs half of the count: on a
busy machine any answer may be interrupted, and where two in a row take longer, the model is not quick."""
WITHHELD_MAX = 8
"""Quick answers that are sent by one call, if the next request is here already."""
HELP_SECONDS = 1.0
"""One that takes longer all the same is left to its thread, and another reads on."""
_JOIN_BYTES_MAX = 64 * 1024


class Answering:
    """Reads requests and answers them, on as many threads as call ``run``.

    Handing each request to another thread costs more than a quick model's answer: two of them pass the interpreter's
    lock to and fro. So one thread *leads*: it reads, and where answers are quick it also gives them and sends several
    by one call. Where they are not, it lets another lead while it works.
    """

    def __init__(self, channel: socket.socket, reader: FrameReader, version: "LoadedVersion") -> None:
        self._channel, self._reader, self._version = channel, reader, version
        self._leading, self._reading, self._writing = threading.Lock(), threading.Lock(), threading.Lock()
        self._quick = 0  # answers that were, less what those that were not have cost
        self._leader_since = 0.0  # when the leader began the answer that it works on; 0: it reads

    def run(self) -> None:
        """Answer requests until the front process closes the connection."""
        with suppress(EOFError, OSError):
            self._run()

    def _run(self) -> None:
        out: list[bytes] = []  # what this thread has answered and not sent yet
        while True:
            leads = self._leading.acquire(timeout=HELP_SECONDS)
            if not leads and not self._leader_is_slow():
                continue
            try:
                frame = self._next(out)
                while leads and self._quick >= QUICK_ANSWERS:
                    self._leader_since = time.monotonic()
                    self._answer(frame, out)
                    self._leader_since = 0.0
                    frame = self._next(out)
            finally:
                if leads:
                    self._leading.release()
            self._answer(frame, out)
            self._flush(out)

    def _leader_is_slow(self) -> bool:
        since = self._leader_since
        return since > 0.0 and time.monotonic() - since > HELP_SECONDS

    def _next(self, out: list[bytes]) -> WorkerFrame:
        """The next request. Nothing that was answered waits for it."""
        if not self._reading.acquire(blocking=False):
            self._flush(out)
            self._reading.acquire()
        try:
            frame = self._reader.arrived()
            if frame is None:
                self._flush(out)
                frame = self._reader.read()
        finally:
            self._reading.release()
        if frame is None:
            raise EOFError
        return frame

    def _answer(self, frame: WorkerFrame, out: list[bytes]) -> None:
        began = time.perf_counter()
        looks = frame.kind == FrameKind.INFER_AND_LOOK
        status, json_size_bytes, body = self._version.infer(frame.status, frame.body, frame.json_size_bytes, looks)
        quick = time.perf_counter() - began < QUICK_SECONDS
        self._quick = min(self._quick + 1, 2 * QUICK_ANSWERS) if quick else self._quick // 2
        out.append(
            header(
                FrameKind.ANSWER, len(body), request_id=frame.request_id, status=status, json_size_bytes=json_size_bytes
            )
        )
        out.append(body)
        if not quick or len(out) >= 2 * WITHHELD_MAX or len(body) > _JOIN_BYTES_MAX:
            self._flush(out)

    def _flush(self, out: list[bytes]) -> None:
        if not out:
            return
        large = len(out[-1]) > _JOIN_BYTES_MAX  # and the last, see above
        chunks = [b"".join(out[:-1]), out[-1]] if large else [b"".join(out)]
        with self._writing:
            for chunk in chunks:
                self._channel.sendall(chunk)
        out.clear()
