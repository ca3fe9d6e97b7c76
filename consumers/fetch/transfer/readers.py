"""Several readers at once: the first that fails stops the others."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from typing import TypeVar

from modelcast.consumers.fetch.transfer.spans import Span

AnySpan = TypeVar("AnySpan", bound=Span)


def at_once(bring: Callable[[AnySpan], None], spans: Sequence[AnySpan], readers: int, stop: threading.Event) -> None:
    """``bring`` all spans with so many threads; a single one without any.

    Args:
        stop: set as soon as one fails; ``bring`` looks at it.

    Raises:
        Exception: the first failure. The others were stopped by it.
    """
    if len(spans) == 1:
        bring(spans[0])
        return
    if not spans:
        return
    failures: list[BaseException] = []

    def bring_or_stop(span: AnySpan) -> None:
        try:
            bring(span)
        except BaseException as failure:
            failures.append(failure)
            stop.set()
            raise

    with ThreadPoolExecutor(min(readers, len(spans)), "fetch") as pool:
        futures = [pool.submit(bring_or_stop, span) for span in spans]
        try:
            wait(futures, return_when=FIRST_EXCEPTION)
            if failures:
                raise failures[0]
        except BaseException:
            stop.set()
            for future in futures:
                future.cancel()
            raise
