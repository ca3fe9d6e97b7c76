"""Several readers at once: the first that fails stops the others."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TypeVar

Item = TypeVar("Item")


def at_once(bring: Callable[[Item], None], items: Sequence[Item], readers: int, stop: threading.Event) -> None:
    """``bring`` all items with so many threads; a single one without any.

    Args:
        stop: set as soon as one fails; ``bring`` looks at it.

    Raises:
        Exception: the first failure. The others were stopped by it.
    """
    if len(items) == 1:
        bring(items[0])
        return
    if not items:
        return
    failures: list[BaseException] = []
    todo, turn = iter(items), threading.Lock()

    def bring_next() -> None:
        while not stop.is_set():
            with turn:
                item = next(todo, None)
            if item is None:
                return
            try:
                bring(item)
            except BaseException as failure:
                failures.append(failure)
                stop.set()
                return

    count = min(readers, len(items))
    with ThreadPoolExecutor(count, "fetch") as pool:  # one call a thread: one an item would take a kilobyte each
        try:
            wait([pool.submit(bring_next) for _ in range(count)])
        except BaseException:
            stop.set()
            raise
    if failures:
        raise failures[0]
