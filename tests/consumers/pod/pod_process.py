"""A real pod process, for tests."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil

from tests.support.waiting import until

TOKEN = "region-token-for-tests"


class PodProcess:
    """``python -m modelcast.consumers.pod`` on a cache and a state folder below ``home``."""

    def __init__(self, home: Path, *options: str, cache: Path | None = None) -> None:
        self.home = home
        self.cache = cache or home / "cache"
        self.options = options
        self.cache.mkdir(parents=True, exist_ok=True)
        self.process: subprocess.Popen[bytes] | None = None
        self.url = ""
        self.log = home / "pod.log"

    def start(self) -> "PodProcess":
        port_file = self.home / "port"
        port_file.unlink(missing_ok=True)
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [
                    *self.command(),
                    *("--region", "eu", "--port-file", str(port_file), "--cache-dir", str(self.cache)),
                    *("--state-dir", str(self.home / "state"), *self.options),
                ],
                env={**os.environ, "MODELCAST_POD_TOKEN": TOKEN},
                stdout=log,
                stderr=log,
            )
        until(lambda: port_file.exists() or self.ended, "the pod binds its port")
        assert not self.ended, self.log.read_text()
        self.url = f"http://127.0.0.1:{port_file.read_text().strip()}"
        return self

    def command(self) -> list[str]:
        return [sys.executable, "-m", "modelcast.consumers.pod", "--name", "pod-a"]

    @property
    def ended(self) -> bool:
        return self.process is not None and self.process.poll() is not None

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def workers(self) -> list[psutil.Process]:
        return psutil.Process(self.pid).children(recursive=True)

    def serving_worker(self, cache_marker: str | None = None) -> psutil.Process:
        """The oldest worker: the one that serves, when exactly one model does."""
        return min(self.workers(), key=lambda p: p.create_time())

    def rss_bytes(self) -> int:
        tree = [psutil.Process(self.pid), *self.workers()]
        return sum(p.memory_info().rss for p in tree)

    def signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def wait(self, seconds: float = 90.0) -> int:
        assert self.process is not None
        return self.process.wait(seconds)

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait(10)
