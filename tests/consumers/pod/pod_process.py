"""A real pod process, for tests."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil

from modelcast.infra.local.process import Child
from tests.support.processes.forked import start_forked
from tests.support.servers.shared_servers import is_test_run, shared
from tests.support.waiting import until

TOKEN = "region-token-for-tests"


class PodProcess:
    """``python -m modelcast.consumers.pod`` on a cache and a state folder below ``home``.

    Args:
        home: a folder of its own.
        options: more arguments.
        cache: the artifacts; by default below ``home``.
        forked: from a process that has imported everything; then what it leaves behind is ended with it.
    """

    def __init__(self, home: Path, *options: str, cache: Path | None = None, forked: bool = True) -> None:
        self.forked = forked and is_test_run()
        self.home = home
        self.cache = cache or home / "cache"
        self.options = options
        self.cache.mkdir(parents=True, exist_ok=True)
        self.process: subprocess.Popen[bytes] | None = None
        self.child: Child | None = None
        self.url = ""
        self.log = home / "pod.log"

    def start(self) -> "PodProcess":
        port_file = self.home / "port"
        port_file.unlink(missing_ok=True)
        module, *arguments = self.command()
        arguments += ["--region", "eu", "--port-file", str(port_file), "--cache-dir", str(self.cache)]
        arguments += ["--state-dir", str(self.home / "state"), *self.options]
        env = {**os.environ, "MODELCAST_POD_TOKEN": TOKEN}
        if self.forked:
            self.child = start_forked(
                shared("forks"), module, arguments, name="pod", log=self.log, env=env, folder=Path.cwd()
            )
        else:
            with self.log.open("ab") as log:
                command = [sys.executable, "-m", module, *arguments]
                self.process = subprocess.Popen(command, env=env, stdout=log, stderr=log)
        until(lambda: port_file.exists() or self.ended, "the pod binds its port")
        assert not self.ended, self.log.read_text()
        self.url = f"http://127.0.0.1:{port_file.read_text().strip()}"
        return self

    def command(self) -> list[str]:
        """Module and first arguments."""
        return ["modelcast.consumers.pod", "--name", "pod-a"]

    @property
    def ended(self) -> bool:
        if self.child is not None:
            return not self.child.running
        return self.process is not None and self.process.poll() is not None

    @property
    def pid(self) -> int:
        running = self.child or self.process
        assert running is not None
        return running.pid

    def workers(self) -> list[psutil.Process]:
        return psutil.Process(self.pid).children(recursive=True)

    def serving_worker(self, cache_marker: str | None = None) -> psutil.Process:
        """The oldest worker: the one that serves, when exactly one model does."""
        return min(self.workers(), key=lambda p: p.create_time())

    def rss_bytes(self) -> int:
        tree = [psutil.Process(self.pid), *self.workers()]
        return sum(p.memory_info().rss for p in tree)

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def wait(self, seconds: float = 90.0) -> int:
        running = self.child or self.process
        assert running is not None
        return running.wait(seconds)

    def stop(self) -> None:
        if self.child is not None:
            self.child.kill()
        elif self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait(10)
