"""Simulated time: a heap of what is to happen, taken in the order of (time, number)."""

import heapq
from collections.abc import Callable

Action = Callable[[], None]


class Scheduler:
    """Runs actions in order of their time; equal times in the order in which they were asked for."""

    def __init__(self) -> None:
        self.now = 0.0
        self.events = 0
        self._heap: list[tuple[float, int, Action]] = []
        self._number = 0

    def after(self, delay: float, action: Action) -> None:
        """Run ``action`` ``delay`` simulated seconds from now."""
        self._number += 1
        heapq.heappush(self._heap, (self.now + max(delay, 0.0), self._number, action))

    def run_until(self, end: float, each: Action) -> None:
        """Run everything up to ``end``; ``each`` is called after every action."""
        heap = self._heap
        while heap and heap[0][0] <= end:
            self.now, _, action = heapq.heappop(heap)
            self.events += 1
            action()
            each()
        self.now = max(self.now, end)
