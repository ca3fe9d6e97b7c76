"""Where a pod is between its start and its end, and how many requests it has under way.

STARTING -> INCOMPLETE <-> READY -> DRAINING -> CLOSED
STARTING, INCOMPLETE -> DRAINING
"""

import asyncio
from enum import Enum


class Phase(Enum):
    """A pod's phases, in order."""

    STARTING = "starting"  # answers, but what it should serve is not loaded yet
    INCOMPLETE = "incomplete"  # restored what it could, but lacks a model that its region serves: obeys orders
    READY = "ready"
    DRAINING = "draining"  # says that it is not ready, still answers
    CLOSED = "closed"  # refuses new requests, finishes those in flight


class Lifecycle:
    """The phase, and the requests in flight. What follows from the phase is computed once a phase: each request asks.

    Attributes:
        ready: whether traffic should come here.
        restored: whether the readiness of each model is its own: restoring is over, and the pod does not leave.
        leaving: whether connections should not be kept.
        lacking: what keeps it from being ready, for people.
    """

    def __init__(self) -> None:
        self.phase = Phase.STARTING
        self.lacking: tuple[str, ...] = ()
        self.in_flight = 0
        self.in_flight_bytes = 0
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def phase(self) -> Phase:
        """Where the pod is."""
        return self._phase

    @phase.setter
    def phase(self, phase: Phase) -> None:
        self._phase = phase
        self.ready = phase is Phase.READY
        self.restored = phase in {Phase.INCOMPLETE, Phase.READY}
        self.leaving = phase in {Phase.DRAINING, Phase.CLOSED}

    def begun(self, size_bytes: int) -> None:
        """Count a request that begins."""
        self.in_flight += 1
        self.in_flight_bytes += size_bytes
        self._idle.clear()

    def ended(self, size_bytes: int) -> None:
        """Count a request that ends."""
        self.in_flight -= 1
        self.in_flight_bytes -= size_bytes
        if self.in_flight == 0:
            self._idle.set()

    async def idle(self, *, timeout: float) -> bool:
        """Wait at most ``timeout`` seconds until nothing is in flight; whether that came true."""
        try:
            async with asyncio.timeout(timeout):
                await self._idle.wait()
        except TimeoutError:
            return False
        return True
