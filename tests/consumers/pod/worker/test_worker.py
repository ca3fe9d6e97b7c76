"""What a pod's worker process answers when it is not fit to load anything."""

import pickle
import socket
import threading

import orjson
import pytest

from modelcast.consumers.pod.worker.frames import FrameKind, FrameReader, header
from modelcast.consumers.pod.worker.process import LoadSpec, PodWorker

WAIT_SECONDS_MAX = 60


@pytest.mark.parametrize("source", [b"no pickle", b"cno_such_module\nAnything\n."])
def test_a_pod_that_is_installed_badly_does_not_blame_the_version(source: bytes) -> None:
    front, channel = socket.socketpair()
    with front, channel:
        front.settimeout(WAIT_SECONDS_MAX)
        spec = pickle.dumps(LoadSpec("fraud", 7, "sha256:" + 64 * "0", 1, 1))
        for kind, body in ((FrameKind.PREPARE, source), (FrameKind.LOAD, spec)):
            front.sendall(header(kind, len(body)) + body)
        worker = threading.Thread(target=PodWorker(channel, 0).run, daemon=True)
        worker.start()
        answers = FrameReader(front)
        frames = [answers.read() for _ in range(2)]
        worker.join(WAIT_SECONDS_MAX)
    warm, failed = frames
    assert warm is not None
    assert failed is not None
    assert (warm.kind, failed.kind) == (FrameKind.WARM, FrameKind.FAILED)
    said = orjson.loads(failed.body)
    assert said["code"] == "no_source"  # "load_failed" on every pod would quarantine the version
    assert "the artifact source can't be had" in said["error"]
