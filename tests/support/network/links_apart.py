"""Links in a process of their own, so that what they carry takes no turns with whoever asks for it.

``python -m tests.support.network.links_apart`` is that process: a line of JSON on its stdin is an order, one on its
stdout says how the link stands then. It ends when its stdin closes, which the kernel sees to however its parent ends.
"""

import json
import os
import subprocess
import sys
import threading
from contextlib import suppress
from typing import Any, Self

from tests.support.network.slow_link import Network, SlowLink

END_SECONDS_MAX = 10.0
NICENESS = -10
"""A real link needs no processor. Where that is not allowed, it goes on as it is."""


class LinksApart:
    """Makes links there. Use it in a ``with`` block."""

    def __init__(self) -> None:
        self._child = subprocess.Popen(
            [sys.executable, "-m", __spec__.name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._lock = threading.Lock()

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._child.pid

    def link(self, endpoint_url: str) -> "LinkApart":
        """A link to ``endpoint_url``."""
        said = self.order(target=endpoint_url)
        return LinkApart(self, said["number"], said["endpoint_url"])

    def order(self, **what: Any) -> dict[str, Any]:
        """Have an order carried out; what is said of it."""
        assert self._child.stdin and self._child.stdout
        with self._lock:
            self._child.stdin.write(json.dumps(what) + "\n")
            self._child.stdin.flush()
            line = self._child.stdout.readline()
        assert line, f"the process of the links has ended: {self._child.poll()}"
        said: dict[str, Any] = json.loads(line)
        return said

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._child.stdin and self._child.stdout
        with suppress(OSError):
            self._child.stdin.close()
        try:
            self._child.wait(END_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()
        self._child.stdout.close()


class LinkApart:
    """A ``SlowLink`` there. What is set counts from the moment at which setting it returns."""

    def __init__(self, links: LinksApart, number: int, endpoint_url: str) -> None:
        self._links = links
        self._number = number
        self.endpoint_url = endpoint_url

    def hold(self, method: str, path: str, seconds: float) -> None:
        """See ``SlowLink``."""
        self._order(hold=[method, path, seconds])

    def heal(self) -> None:
        """See ``SlowLink``."""
        self._order(heal=True)

    @property
    def carried_bytes(self) -> int:
        """See ``SlowLink``."""
        return int(self._order()["carried_bytes"])

    @property
    def bytes_per_second(self) -> float | None:
        """See ``SlowLink``."""
        value: float | None = self._order()["bytes_per_second"]
        return value

    @bytes_per_second.setter
    def bytes_per_second(self, value: float | None) -> None:
        self._order(set={"bytes_per_second": value})

    @property
    def round_trip_seconds(self) -> float:
        """See ``SlowLink``."""
        return float(self._order()["round_trip_seconds"])

    @round_trip_seconds.setter
    def round_trip_seconds(self, value: float) -> None:
        self._order(set={"round_trip_seconds": value})

    @property
    def drops_orphans(self) -> bool:
        """See ``SlowLink``."""
        return bool(self._order()["drops_orphans"])

    @drops_orphans.setter
    def drops_orphans(self, value: bool) -> None:
        self._order(set={"drops_orphans": value})

    def _order(self, **what: Any) -> dict[str, Any]:
        return self._links.order(number=self._number, **what)


def obey(orders: Any, answers: Any) -> None:
    """Carry out orders until there are no more."""
    with Network() as network:
        links: list[SlowLink] = []
        for line in orders:
            order = json.loads(line)
            if "target" in order:
                links.append(network.link(order["target"]))
            number = order.get("number", len(links) - 1)
            link = links[number]
            for name, value in order.get("set", {}).items():
                setattr(link, name, value)
            if "hold" in order:
                link.hold(*order["hold"])
            if order.get("heal"):
                link.heal()
            said = {"number": number, "endpoint_url": link.endpoint_url, "carried_bytes": link.carried_bytes}
            said |= {name: getattr(link, name) for name in ("bytes_per_second", "round_trip_seconds", "drops_orphans")}
            answers.write(json.dumps(said) + "\n")
            answers.flush()


if __name__ == "__main__":
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, NICENESS)
    with suppress(KeyboardInterrupt, BrokenPipeError):
        obey(sys.stdin, sys.stdout)
