"""A worker's threads: quick answers go out together, a slow one keeps no other waiting."""

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from modelcast.consumers.pod.worker import answering
from modelcast.consumers.pod.worker.answering import QUICK_ANSWERS, Answering
from modelcast.consumers.pod.worker.frames import ALL_JSON, FrameKind, FrameReader, WorkerFrame, header

WAIT_SECONDS_MAX = 60.0


class Version:
    """Answers with what it is asked; ``slow`` is answered once the test says so."""

    def __init__(self) -> None:
        self.go = threading.Event()

    def infer(self, part: int, body: bytes, json_size_bytes: int, looks: bool = False) -> tuple[int, int, bytes]:
        if body == b"slow":
            assert self.go.wait(WAIT_SECONDS_MAX)
        if body == b"late":
            time.sleep(1.2 * answering.QUICK_SECONDS)
        return 200, json_size_bytes, body * (100_000 if body == b"large" else 1)


class Front:
    """The other end of a worker with two threads."""

    def __init__(self, version: Version) -> None:
        self.socket, theirs = socket.socketpair()
        self.socket.settimeout(WAIT_SECONDS_MAX)
        self.version, self._reader, self._sent = version, FrameReader(self.socket), 0
        self.worker = Answering(theirs, FrameReader(theirs), version)  # type: ignore[arg-type]
        for _ in range(2):
            threading.Thread(target=self.worker.run, daemon=True).start()

    def send(self, *bodies: bytes) -> None:
        frames = []
        for body in bodies:
            self._sent += 1
            frames.append(header(FrameKind.INFER, len(body), request_id=self._sent, json_size_bytes=ALL_JSON) + body)
        self.socket.sendall(b"".join(frames))

    def answer(self) -> WorkerFrame:
        frame = self._reader.read()
        assert frame is not None
        return frame

    def warmed(self) -> None:
        """One thread has begun to answer alone: it was quick often enough."""
        for _ in range(3):
            self.send(*[b"quick"] * QUICK_ANSWERS)
            for _ in range(QUICK_ANSWERS):
                self.answer()


@pytest.fixture
def front(monkeypatch: pytest.MonkeyPatch) -> Iterator[Front]:
    monkeypatch.setattr(answering, "HELP_SECONDS", 0.05)
    monkeypatch.setattr(answering, "QUICK_SECONDS", 0.05)  # also on a machine that others keep busy
    version = Version()
    yield Front(version)  # its threads wait for ever: their process ends where the front hangs up
    version.go.set()


def test_every_request_gets_its_own_answer(front: Front) -> None:
    for _ in range(3):
        bodies = [f"{n}".encode() for n in range(200)]
        first = front._sent
        front.send(*bodies)
        answers = {(frame := front.answer()).request_id: frame.body for _ in bodies}
        assert answers == {first + 1 + n: body for n, body in enumerate(bodies)}


def test_a_single_answer_is_sent_at_once(front: Front) -> None:
    front.warmed()
    for _ in range(20):
        front.send(b"alone")
        assert front.answer().body == b"alone"


def test_one_answer_that_was_interrupted_does_not_make_a_model_slow_but_two_do(front: Front) -> None:
    front.warmed()
    for quick in (True, False):
        front.send(b"late")
        front.answer()
        assert (front.worker._quick >= QUICK_ANSWERS) is quick


def test_a_slow_answer_keeps_no_other_waiting(front: Front) -> None:
    front.warmed()
    front.send(b"slow")
    front.send(b"next", b"more")
    assert sorted(front.answer().body for _ in range(2)) == [b"more", b"next"]
    front.version.go.set()
    assert front.answer().body == b"slow"


def test_large_answers_and_small_ones_arrive_whole(front: Front) -> None:
    front.warmed()
    bodies = [b"large", b"x", b"large", b"y"] * 5
    front.send(*bodies)
    sizes = sorted(len(front.answer().body) for _ in bodies)
    assert sizes == [1] * 10 + [500_000] * 10
