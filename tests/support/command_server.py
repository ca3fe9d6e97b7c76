"""Commands of ``modelcast`` in processes of their own, which find everything imported already.

``python -m tests.support.command_server SOCKET`` imports what commands need and forks a process for each command that
is asked for there. Importing is most of what a command costs; what it does, and how it ends, is as from a shell. It
ends when its stdin closes, which the kernel sees to however its parent ends.
"""

import atexit
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
HEAD_BYTES = 8


class Done(NamedTuple):
    """What came of a command; ``code`` is negative if a signal ended it."""

    code: int
    out: str
    err: str


class CommandServer:
    """The client's half: starts the server, and asks it."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="mc-commands-")
        self._address = f"{self._folder.name}/socket"
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(self._address)
            listener.listen(16)
            os.set_inheritable(listener.fileno(), True)
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.support.command_server", str(listener.fileno())],
                stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, cwd=ROOT, pass_fds=[listener.fileno()],
            )  # fmt: skip
        atexit.register(self.stop)

    def run(self, arguments: Sequence[str], *, folder: Path, env: Mapping[str, str], seconds: float) -> Done:
        """Run a command with ``env`` as its whole environment.

        Raises:
            TimeoutError: it took longer than ``seconds``, and was killed.
        """
        order = json.dumps({"arguments": list(arguments), "folder": str(folder), "env": dict(env)}).encode()
        with (
            socket.socket(socket.AF_UNIX) as link,
            tempfile.TemporaryFile() as out,
            tempfile.TemporaryFile() as err,
            link.makefile("rb") as answer,
        ):
            link.settimeout(seconds)
            link.connect(self._address)
            socket.send_fds(link, [len(order).to_bytes(HEAD_BYTES, "big")], [out.fileno(), err.fileno()])
            link.sendall(order)
            pid = int(answer.readline())
            try:
                code = int(answer.readline())
            except TimeoutError:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                raise
            texts = []
            for file in (out, err):
                file.seek(0)
                texts.append(file.read().decode())
        return Done(code, *texts)

    def stop(self) -> None:
        """End it."""
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait(30)
        self._folder.cleanup()


@cache
def command_server() -> CommandServer:
    """This process' own."""
    return CommandServer()


class _Order(NamedTuple):
    arguments: list[str]
    folder: str
    env: dict[str, str]
    outputs: list[int]


def _next_order(listener: socket.socket) -> _Order | None:
    """Returns in a child that is to carry an order out, or with None when there will be no more."""
    while True:
        readable, _, _ = select.select([listener, sys.stdin], [], [])
        if sys.stdin in readable:
            return None
        link, _ = listener.accept()
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        if os.fork() == 0:
            listener.close()
            return _carried_out_by_a_child(link)
        link.close()


def _carried_out_by_a_child(link: socket.socket) -> _Order:
    """Returns in the child; its parent waits for its end and tells."""
    head, outputs, _, _ = socket.recv_fds(link, HEAD_BYTES, 2)
    with link.makefile("rb") as stream:
        order = json.loads(stream.read(int.from_bytes(head, "big")))
    pid = os.fork()
    if pid == 0:
        link.close()
        return _Order(**order, outputs=outputs)
    with suppress(BrokenPipeError):
        link.sendall(f"{pid}\n".encode())
        link.sendall(f"{os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])}\n".encode())
    os._exit(0)


def _import_everything() -> None:
    import boto3  # noqa: F401
    import confluent_kafka  # noqa: F401

    import modelcast.cli.main
    import modelcast.consumers.fetch
    import modelcast.infra.kafka.dead_letters
    import modelcast.infra.redis_view
    import modelcast.infra.stores.configured
    import modelcast.producers.wait  # noqa: F401
    from modelcast.infra.stores.s3_clients import Clients, Endpoint

    Clients(Endpoint("http://127.0.0.1:9", access_key_id="a", secret_access_key="b"))  # reads S3's interface


def main() -> None:
    """Serve; in a child: be ``modelcast``."""
    listener = socket.socket(fileno=int(sys.argv[1]))
    _import_everything()
    order = _next_order(listener)
    if order is None:
        return
    for number, descriptor in enumerate([os.open(os.devnull, os.O_RDONLY), *order.outputs]):
        os.dup2(descriptor, number)
        os.close(descriptor)
    os.chdir(order.folder)
    os.environ.clear()
    os.environ.update(order.env)
    sys.argv[:] = ["modelcast", *order.arguments]
    from modelcast.cli.main import run

    run()


if __name__ == "__main__":
    main()
