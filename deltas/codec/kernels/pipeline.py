"""Independent pieces of work on several threads, their outcomes in order, only so many at once."""

import os
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Outcome = TypeVar("Outcome")

MEMORY_MAX_BYTES = 256 * 1024 * 1024


def threads_for(threads: int | None, piece_bytes: int) -> int:
    """How many threads may work at once: as asked (default: all cores), as far as memory goes.

    Args:
        threads: what the caller gives.
        piece_bytes: what one piece takes at most.
    """
    wanted = threads or len(os.sched_getaffinity(0))
    return max(1, min(wanted, (MEMORY_MAX_BYTES - 32 * 1024 * 1024) // max(piece_bytes, 1)))


def in_order(
    work: Callable[[Item], Outcome], items: Sequence[Item], threads: int
) -> Generator[tuple[Item, Outcome], None, None]:
    """Yield each item with its outcome, in order. The first error ends it; what was not begun is not begun.

    A caller that may stop before the end closes it: then no thread works on.
    """
    if threads == 1:
        for item in items:
            yield item, work(item)
        return
    waiting: deque[tuple[Item, Future[Outcome]]] = deque()
    with ThreadPoolExecutor(threads, thread_name_prefix="delta") as pool:
        try:
            for item in items:
                waiting.append((item, pool.submit(work, item)))
                if len(waiting) > threads:
                    done, future = waiting.popleft()
                    yield done, future.result()
            while waiting:
                done, future = waiting.popleft()
                yield done, future.result()
        finally:
            for _, future in waiting:
                future.cancel()
