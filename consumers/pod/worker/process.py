"""The worker process: one version of one model.

``python -m modelcast.consumers.pod.worker.process FD PARENT_PID LOAD_NICE``.

It starts as a spare: imports done, waiting for its one LoadSpec. It lives no longer than the front process.

Loading must not slow down what serves meanwhile, and an unprivileged process can't take back a nice value (EACCES)
nor leave SCHED_IDLE (EPERM) once it has lowered itself. But on Linux both belong to a *thread*: the imports, the
hashing, the load and the warm-up run in threads that lower themselves and then end, and the threads that serve were
never lowered. ONNX Runtime's own threads inherit from the thread that makes the session, so with more than one
intra-op thread they come from a process-wide pool that the main thread makes first.

Nice 10 leaves a load about a tenth of a busy core; at 19 a load of 100 MB was seen to take 13 s on two cores that
others kept busy. Workers share the front's session on purpose: Linux weighs nice values only within one (autogroups).
"""

import ctypes
import logging
import os
import pickle
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from modelcast.consumers.pod.worker.answering import Answering
from modelcast.consumers.pod.worker.frames import FrameKind, FrameReader, header

if TYPE_CHECKING:
    from modelcast.consumers.artifacts.sources import ArtifactSource, ArtifactSourceFactory
    from modelcast.consumers.pod.worker.models.version import LoadedVersion

_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True, slots=True)
class LoadSpec:
    """What a worker is to serve, and how."""

    model: str
    version: int
    manifest_digest: str
    run_threads: int
    intra_op_threads: int
    keeps_limit: bool = False  # the memory that was granted for the load bounds it for good


class PodWorker:
    """Reads frames from the front, answers them."""

    def __init__(self, channel: socket.socket, load_nice: int, at_start: Callable[[], None] = lambda: None) -> None:
        self._channel = channel
        self._at_start = at_start
        self._reader = FrameReader(channel)
        self._load_nice = load_nice
        self._artifacts: ArtifactSourceFactory | None = None
        self._unprepared = ""
        self._held = ExitStack()  # the artifact, kept from eviction for as long as this process lives

    def run(self) -> None:
        """Wait for a load, load, and serve until the front process closes the connection."""
        self._lowered(self._prepare)
        frame = self._reader.read()
        if frame is None:
            return
        spec = cast("LoadSpec", pickle.loads(frame.body))  # noqa: S301 - our own front's, over a private socket
        if spec.intra_op_threads > 1:
            import onnxruntime as ort

            ort.set_global_thread_pool_sizes(spec.intra_op_threads, 1)
        loaded: list[LoadedVersion] = []
        self._lowered(lambda: self._load(spec, loaded))
        if not loaded:
            return
        answering = Answering(self._channel, self._reader, loaded[0])
        for _ in range(spec.run_threads - 1):
            threading.Thread(target=self._answer, args=[answering], daemon=True).start()
        self._answer(answering)

    def _answer(self, answering: Answering) -> None:
        answering.run()
        os._exit(0)  # the front closed the connection: no one is left to answer

    def _prepare(self) -> None:
        self._at_start()
        import modelcast.consumers.pod.worker.models.version  # noqa: F401 - numpy and ONNX Runtime are what takes long

        frame = self._reader.read()
        if frame is None:
            os._exit(0)
        try:
            self._artifacts = pickle.loads(frame.body)  # noqa: S301 - as above
        except Exception as error:  # reported when the worker is needed: a spare has no caller yet
            self._unprepared = f"{type(error).__name__}: {error}"
        self._send(FrameKind.WARM, b"")

    def _lowered(self, work: Callable[[], None]) -> None:
        def lowered() -> None:
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), self._load_nice)
            work()

        thread = threading.Thread(target=lowered)
        thread.start()
        thread.join()

    def _load(self, spec: LoadSpec, loaded: "list[LoadedVersion]") -> None:
        import orjson

        from modelcast.consumers.pod.failures import failure_code, failure_message

        if self._artifacts is None:  # this pod's fault, not the version's, which other pods may well load
            message = f"the artifact source can't be had: {self._unprepared}"
            self._send(FrameKind.FAILED, orjson.dumps({"code": "no_source", "error": message[:2000]}))
            return
        seconds: dict[str, float] = {}
        try:
            version = self._loaded(spec, self._artifacts(), seconds)
        except Exception as error:
            body = {"code": failure_code(error), "error": failure_message(error)}
            self._send(FrameKind.FAILED, orjson.dumps(body))
            return
        ready = {"metadata": version.metadata, "parts": version.parts, "seconds": seconds}
        self._send(FrameKind.READY, orjson.dumps(ready))
        loaded.append(version)

    def _loaded(self, spec: LoadSpec, artifacts: "ArtifactSource", seconds: dict[str, float]) -> "LoadedVersion":
        from modelcast.consumers.pod.memory_room import limit_data, shown
        from modelcast.consumers.pod.worker.models.version import LoadedVersion, VersionFiles

        with self._stage("verify", seconds):
            folder = self._held.enter_context(artifacts.open(spec.manifest_digest))
        files = VersionFiles(folder)
        granted = self._granted(files.size_bytes)
        limit_data(granted)
        try:
            with self._stage("load", seconds):
                version = LoadedVersion(
                    files, model=spec.model, version=spec.version, intra_op_threads=spec.intra_op_threads
                )
            with self._stage("warm_up", seconds):
                version.warm_up()
        except MemoryError as error:
            if granted is None:
                raise
            raise MemoryError(f"its load takes more than the {shown(granted)} that are free: {error}") from None
        if not spec.keeps_limit:
            limit_data(None)  # the load was to leave room for others; requests may use what is free then
        return version

    @contextmanager
    def _stage(self, name: str, seconds: dict[str, float]) -> Iterator[None]:
        self._send(FrameKind.STAGE, name.encode())
        began = time.perf_counter()
        yield
        seconds[name] = time.perf_counter() - began

    def _granted(self, need_bytes: int) -> int | None:
        """The memory that the load may take; the front ends this process if there is too little."""
        self._send(FrameKind.NEEDS, str(need_bytes).encode())
        frame = self._reader.read()
        if frame is None:
            os._exit(0)
        return int(frame.body) if frame.body else None

    def _send(self, kind: FrameKind, body: bytes) -> None:
        try:
            self._channel.sendall(header(kind, len(body)) + body)
        except OSError:
            os._exit(0)


def main() -> None:
    """Run the worker that the front started."""
    descriptor, parent, load_nice = (int(a) for a in sys.argv[1:4])
    # The kernel ends this process with its parent, also in the middle of a load; the check closes the race.
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(0)
    # A signal to the whole group (Ctrl-C, systemd) is for the front: it drains, and needs its workers for that.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    with suppress(OSError):  # where memory runs out, a worker is killed, not the front
        Path("/proc/self/oom_score_adj").write_text("500")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # the front's own output is not for what libraries print
    PodWorker(socket.socket(fileno=descriptor), load_nice, _warnings_only).run()


def _warnings_only() -> None:
    """A worker is one load: what is worth a line in a daemon's log would be logged with each."""
    import structlog

    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))


if __name__ == "__main__":
    main()
