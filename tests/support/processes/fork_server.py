"""Processes of Modelcast that find everything imported already.

``python -m tests.support.processes.fork_server DESCRIPTOR`` imports what commands and daemons need and forks a process
for each that is asked for at the listening socket. Importing is most of what a command costs and all of what a daemon
takes to start; what it does, its signals, its output and its exit code are those of a process from a shell.

A guard (``modelcast.infra.local.guard``) is each process' parent and ends it with whoever asked for it. The server
itself ends when its stdin closes, which the kernel sees to however its owner ends.
"""

import gc
import json
import os
import runpy
import select
import signal
import socket
import sys
from contextlib import suppress
from typing import NamedTuple

from modelcast.infra.local import guard

HEAD_BYTES = 8
"""Before an order: its length."""
COMMAND_LINE = "modelcast.cli.main"
FORKED = frozenset({COMMAND_LINE, "modelcast.agents.region", "modelcast.agents.tracker", "modelcast.consumers.pod"})
"""Modules that are run as ``python -m MODULE`` is."""


class Order(NamedTuple):
    """What is to run: as JSON behind its length; beside it the descriptors of stdout, stderr and the guard's link."""

    module: str
    arguments: list[str]
    folder: str
    env: dict[str, str]
    grace_seconds: float


def _next_order(listener: socket.socket) -> tuple[Order, list[int]] | None:
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


class _Become(Exception):
    """Raised in the process that is to run the order, through the guard that its parent goes on being."""


def _carried_out_by_a_child(told: socket.socket) -> tuple[Order, list[int]]:
    """Returns in the child; its parent guards it, as production's guard does, and tells its id and its exit code."""
    head, (out, err, link), _, _ = socket.recv_fds(told, HEAD_BYTES, 3)
    with told.makefile("rb") as stream:
        order = Order(*json.loads(stream.read(int.from_bytes(head, "big"))))

    def fork() -> int:
        pid = os.fork()
        with suppress(OSError):  # both do it: whoever is first
            os.setpgid(pid, pid)
        if pid == 0:
            raise _Become
        return pid

    try:
        code = guard.main(link, order.grace_seconds, fork)
    except _Become:
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGCHLD, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        told.close()
        return order, [out, err]
    with suppress(OSError):  # whoever asked is gone
        told.sendall(f"{code if code >= 0 else 128 - code}\n".encode())
    os._exit(0)


def _import_everything() -> None:
    import boto3  # noqa: F401
    import confluent_kafka  # noqa: F401

    import modelcast.agents.region.runner
    import modelcast.agents.tracker.runner
    import modelcast.cli.commands.run
    import modelcast.cli.main
    import modelcast.cli.pod_sources
    import modelcast.consumers.fetch
    import modelcast.consumers.pod.server
    import modelcast.dashboard.runner
    import modelcast.infra.kafka.dead_letters
    import modelcast.infra.redis_view
    import modelcast.infra.stores.configured
    import modelcast.producers.wait  # noqa: F401
    from modelcast.infra.stores.s3.clients import Clients, Endpoint

    Clients(Endpoint("http://127.0.0.1:9", access_key_id="a", secret_access_key="b"))  # reads S3's interface


def main() -> None:
    """Serve; in a child: be what was ordered."""
    listener = socket.socket(fileno=int(sys.argv[1]))
    _import_everything()
    gc.collect()
    gc.freeze()  # what all children share is not written to
    found = _next_order(listener)
    if found is None:
        return
    order, outputs = found
    for number, descriptor in enumerate([os.open(os.devnull, os.O_RDONLY), *outputs]):
        os.dup2(descriptor, number)
        os.close(descriptor)
    os.chdir(order.folder)
    os.environ.clear()
    os.environ.update(order.env)
    if order.module == COMMAND_LINE:
        sys.argv[:] = ["modelcast", *order.arguments]
        from modelcast.cli.main import run

        run()
    else:
        sys.argv[:] = [order.module, *order.arguments]
        runpy.run_module(order.module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
