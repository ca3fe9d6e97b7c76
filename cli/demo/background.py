"""Prediction traffic, on an event loop in a thread of its own, while the demo goes on."""

import asyncio
import threading
import time
from concurrent.futures import Future
from contextlib import suppress

from modelcast.cli.demo.traffic import REQUEST_SECONDS_MAX, Traffic

END_SECONDS_MAX = REQUEST_SECONDS_MAX + 30.0


class Background:
    """Runs traffics, each from its ``start`` to the end of the block.

    Attributes:
        seconds: how long each has run, once it is over.
    """

    def __init__(self) -> None:
        self.seconds: dict[Traffic, float] = {}
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True, name="traffic")
        self._began: dict[Traffic, float] = {}
        self._running: dict[Traffic, Future[None]] = {}

    def start(self, traffic: Traffic) -> None:
        """Begin to send."""
        self._began[traffic] = time.monotonic()
        self._running[traffic] = asyncio.run_coroutine_threadsafe(traffic.run(self._stop), self._loop)

    def __enter__(self) -> "Background":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        now = time.monotonic()
        self.seconds = {traffic: now - began for traffic, began in self._began.items()}
        self._loop.call_soon_threadsafe(self._stop.set)
        for traffic, running in self._running.items():
            ended = False
            with suppress(TimeoutError):
                running.result(max(0.0, now + END_SECONDS_MAX - time.monotonic()))
                ended = True
            traffic.tally.count_missing(ended=ended)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
