"""What production code logs while it is simulated: nothing, unless it has failed in a way that it did not foresee."""

import logging
import sys
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any

import structlog

from modelcast.schemas.errors import ModelcastError


@contextmanager
def only_unforeseen_errors_logged(failed: Callable[[BaseException], None]) -> Iterator[None]:
    """Everything else is left out; ``failed`` is told of these."""

    def look(_logger: object, _method: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        error = sys.exc_info()[1] if line.get("exc_info") else line.get("error")
        if isinstance(error, BaseException) and not isinstance(error, ModelcastError):
            failed(error)
        raise structlog.DropEvent

    before = structlog.get_config()
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR),
        processors=[look],
        cache_logger_on_first_use=False,
    )
    try:
        yield
    finally:
        structlog.configure(**before)
