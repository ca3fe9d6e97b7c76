"""A worker's threads: blocking production code in simulated time, at once or stopping at each of its requests."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from typing import TYPE_CHECKING, Any

from tests.simulation.time.stepwise import AtOnce, Stepwise

if TYPE_CHECKING:
    from tests.simulation.actors.process import Process

PIECEMEAL = 0.25
"""This share of the calls stops at each request, so that others' requests come in between."""


class SimulatedThreads(Executor):
    """An executor for ``ProcessLoop``.

    Args:
        process: whose.
        piecemeal: the share of calls that stop at each request.
        seconds_max: how long a request takes.
    """

    def __init__(self, process: Process, piecemeal: float = PIECEMEAL, seconds_max: float = 0.05) -> None:
        self._process, self._world, self._piecemeal = process, process.world, piecemeal
        self._seconds_max = seconds_max

    def begin(self, call: Callable[[], Any], answer: asyncio.Future[Any]) -> None:
        """See ``Threads``."""
        run = self._piece_by_piece if self._world.rng.random() < self._piecemeal else self._at_once
        self._process.later(self._world.rng.uniform(0.005, self._seconds_max), lambda: run(call, answer))

    def _at_once(self, call: Callable[[], Any], answer: asyncio.Future[Any]) -> None:
        run, result, error = AtOnce(), None, None
        try:
            result = run.run(call)
        except Exception as raised:
            error = raised
        seconds = run.seconds + self._world.rng.uniform(0.005, self._seconds_max)
        self._process.later(seconds, lambda: _settle(answer, result, error))

    def _piece_by_piece(self, call: Callable[[], Any], answer: asyncio.Future[Any]) -> None:
        steps = Stepwise(call)
        self._process.steps.append(steps)
        self._go_on(steps, answer)

    def _go_on(self, steps: Stepwise, answer: asyncio.Future[Any]) -> None:
        steps.go_on()
        if steps.over:
            self._process.steps.remove(steps)
            _settle(answer, steps.result, steps.error)
            return
        if self._world.fault("worker paused between two requests", self._process.hurt):
            self._process.pause(self._world.rng.uniform(5.0, 60.0))
        seconds = steps.seconds + self._world.rng.uniform(0.005, self._seconds_max)
        self._process.later(seconds, lambda: self._go_on(steps, answer))


def _settle(answer: asyncio.Future[Any], result: object, error: BaseException | None) -> None:
    if answer.done():
        return  # nobody waits for it any more
    if error is None:
        answer.set_result(result)
    else:
        answer.set_exception(error)
