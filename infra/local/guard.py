"""Runs one server and ends it when its launcher is gone, however the launcher ended.

Started by path with ``python -I -S``, so it needs nothing but the standard library. Arguments: the file descriptor
of a socket, seconds of grace, the command. The launcher alone holds the other end of the socket, so
end-of-file there means that the launcher stopped, crashed or was killed. A byte on it is a signal number to deliver.
"""

import contextlib
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Callable

TO_THE_LEADER = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
"""Signals that a program's first process handles for its workers; all others go to the whole group."""


def main(channel_fd: int, grace_seconds: float, start: Callable[[], int]) -> int:
    """Watch over a process until it ends or the channel does; return its exit code.

    Args:
        channel_fd: see the module.
        grace_seconds: from SIGTERM to SIGKILL.
        start: starts it in a process group of its own; its id.
    """
    wake, wake_writer = os.pipe()
    os.set_blocking(wake_writer, False)
    signal.set_wakeup_fd(wake_writer)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.signal(signal.SIGTERM, lambda *_: None)
    os.set_inheritable(channel_fd, False)
    channel = socket.socket(fileno=channel_fd)
    pid = start()
    try:
        _watch(pid, channel, wake, grace_seconds)
    finally:
        # Still unreaped, so the group's number can't belong to anyone else yet.
        os.killpg(pid, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def spawn(command: list[str]) -> int:
    """Start a program in a process group of its own; its id."""
    defaults = [signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGPIPE]
    return os.posix_spawnp(command[0], command, os.environ, setpgroup=0, setsigdef=defaults)


def _watch(pid: int, channel: socket.socket, wake: int, grace_seconds: float) -> None:
    with contextlib.suppress(ConnectionError):  # a launcher that is gone already: the next read says so
        channel.sendall(f"{pid}\n".encode())
    kill_at: float | None = None
    while not _ended(pid):
        if kill_at is not None and time.monotonic() >= kill_at:
            os.killpg(pid, signal.SIGKILL)
        watched: list[int | socket.socket] = [wake] if kill_at is not None else [wake, channel]
        readable, _, _ = select.select(watched, [], [], None if kill_at is None else 0.05)
        stop = wake in readable and signal.SIGTERM in os.read(wake, 512)
        if channel in readable:
            orders = _orders(channel)
            stop = stop or not orders
            for number in orders:
                _deliver(pid, number)
        if stop and kill_at is None:
            kill_at = time.monotonic() + grace_seconds
            _deliver(pid, signal.SIGTERM)
            os.killpg(pid, signal.SIGCONT)


def _ended(pid: int) -> bool:
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _orders(channel: socket.socket) -> bytes:
    try:
        return channel.recv(64)
    except ConnectionError:
        return b""


def _deliver(pid: int, number: int) -> None:
    if number in TO_THE_LEADER:
        os.kill(pid, number)
    else:
        os.killpg(pid, number)


if __name__ == "__main__":
    code = main(int(sys.argv[1]), float(sys.argv[2]), lambda: spawn(sys.argv[3:]))
    sys.exit(code if code >= 0 else 128 - code)
