"""Structured logs on stderr: readable on a terminal, one JSON object a line elsewhere.

``bound(model=…, version=…, generation=…, region=…)`` puts what is being worked on into every line logged inside,
also by code below that knows nothing of it.
E-mail addresses, tokens, keys and credentials in URLs are masked, whoever logs them (``redaction``).
"""

import io
import logging
import os
import sys
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from typing import Any, TextIO

import orjson
import structlog

from modelcast.infra.settings import LogSettings
from modelcast.infra.telemetry.redaction import redact_event, redacted
from modelcast.infra.variables import unknown_variables
from modelcast.schemas.errors import ModelcastError
from modelcast.schemas.text.printable import escaped_json, printable

CONTEXT = ("model", "version", "generation", "region")
_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
_NOISY = ("botocore", "boto3", "urllib3", "aiokafka", "faust", "mode", "kafka", "asyncio")

# Without the values of local variables: a token might be among them.
_TRACEBACKS = structlog.processors.ExceptionRenderer(
    structlog.tracebacks.ExceptionDictTransformer(show_locals=False, max_frames=20)
)

Event = MutableMapping[str, Any]


def set_up(settings: LogSettings, *, stream: TextIO | None = None, **always: str) -> None:
    """Set up logging for this process; calling it again replaces what was.

    Args:
        settings: level and format.
        stream: where to; None: stderr.
        **always: fields of every line (``region="eu"``, ``worker="a"``).
    """
    out = stream or sys.stderr
    level = _LEVELS[settings.level]
    readable = settings.format == "console" or (settings.format == "auto" and out.isatty())
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _errors_speak,
    ]
    end: list[Any] = (
        [
            redact_event,
            _without_commands,
            structlog.dev.ConsoleRenderer(colors=out.isatty(), sort_keys=False, exception_formatter=_traceback),
        ]
        if readable
        else [_TRACEBACKS, redact_event, _json]
    )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name, structlog.stdlib.ExtraAdder()],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *end],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in _NOISY:
        logging.getLogger(name).setLevel(max(level, logging.WARNING))
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(**always)


def warn_of_variables() -> None:
    """A line for each ``MODELCAST_…`` variable that has no effect, when a daemon starts."""
    for message in unknown_variables(os.environ):
        logging.getLogger(__name__).warning(message)


@contextmanager
def bound(**context: object) -> Iterator[None]:
    """Every line logged inside carries ``context``; None values are left out."""
    with structlog.contextvars.bound_contextvars(**{k: v for k, v in context.items() if v is not None}):
        yield


def _errors_speak(_logger: object, _method: str, event: Event) -> Event:
    """``error=<exception>`` becomes its text, with our errors' hint and subject as fields of their own."""
    error = event.get("error")
    if isinstance(error, ModelcastError):
        event["error"] = error.message
        for key, value in (("subject", error.subject), ("hint", error.hint)):
            if value:
                event.setdefault(key, value)
    elif isinstance(error, BaseException):
        event["error"] = f"{type(error).__name__}: {error}"
    return event


def _without_commands(_logger: object, _method: str, event: Event) -> Event:
    """Values as text that a terminal shows and does not obey."""
    for key, value in event.items():
        if key not in {"exc_info", "stack"}:
            event[key] = printable(value if isinstance(value, str) else repr(value))
    return event


def _traceback(out: TextIO, exc_info: Any) -> None:
    text = io.StringIO()
    structlog.dev.plain_traceback(text, exc_info)
    out.write(printable(redacted(text.getvalue())))


def _json(_logger: object, _method: str, event: Mapping[str, Any]) -> str:
    first = {key: event[key] for key in ("timestamp", "level", "event", *CONTEXT) if key in event}
    rest = {key: value for key, value in event.items() if key not in first}
    return escaped_json(orjson.dumps(first | rest, default=str, option=orjson.OPT_NON_STR_KEYS).decode())
