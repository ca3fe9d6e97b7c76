"""What publishers and commanders share: they write models' logs, and connect when they are first used."""

import logging
import os
import threading
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Self

from modelcast.infra.forks import renew_in_children
from modelcast.infra.registry.audit_trail import AuditTrail
from modelcast.infra.settings import Settings, load_settings
from modelcast.infra.telemetry.tracing import SpanSink, TraceKey, span_sink
from modelcast.infra.variables import unknown_variables
from modelcast.producers.ending import heard_at_exit
from modelcast.producers.identity import where_from, whoami
from modelcast.producers.origin import Origin
from modelcast.producers.planning.arguments import text_of
from modelcast.producers.spans import TimedStep, TracedAnnouncer, spans_of
from modelcast.schemas.ports import Announcer, ObjectStore

_logger = logging.getLogger(__name__)


class LogWriter:
    """Writes entries of models' logs and announces them on Kafka. Thread-safe; a context manager.

    Args:
        settings: where everything is; None: from ``modelcast.toml`` and the environment.
        store: instead of the origin store of the settings.
        announcer: instead of Kafka as the settings have it.
        source: for the audit, where what is written comes from; "": this process.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        store: ObjectStore | None = None,
        announcer: Announcer | None = None,
        source: str = "",
    ) -> None:
        self._settings = settings if settings is not None else _from_environment()
        self._given = (store, announcer)
        self._source = source
        self._origin: Origin | None = None
        self._spans: SpanSink | None = None
        self._lock = threading.Lock()
        renew_in_children(self)

    def after_fork(self) -> None:
        """See ``Inherited``: the child connects when it first has something to say."""
        self._origin, self._spans, self._lock = None, None, threading.Lock()

    @classmethod
    def from_env(cls) -> Self:
        """By ``modelcast.toml`` and ``MODELCAST_…`` variables."""
        return cls()

    def close(self) -> None:
        """Close the connections to store and Kafka."""
        with self._lock:
            origin, self._origin = self._origin, None
            spans, self._spans = self._spans, None
        if origin is not None:
            origin.close()
        if spans is not None:
            spans.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _connected(self) -> Origin:
        with self._lock:
            if self._origin is None:
                store, announcer = self._given
                self._spans = span_sink("modelcast-publisher", os.environ)
                if self._spans is not None and announcer is None:
                    announcer = TracedAnnouncer(self._settings)
                self._origin = Origin(self._settings, store=store, announcer=announcer)
            return self._origin

    def _audit(self, origin: Origin) -> AuditTrail:
        """Where it is written down what was done, and what was refused."""
        return AuditTrail(origin.store, source=self._source or where_from())

    def _trace(
        self,
        key: TraceKey,
        name: str,
        began_ns: int,
        *,
        steps: Iterable[TimedStep] = (),
        about: Mapping[str, str | int] | None = None,
        error: str = "",
    ) -> None:
        """Put the spans of what was done for an entry where traces go, if they go anywhere."""
        if (sink := self._spans) is not None:
            for span in spans_of(key, name, began_ns, steps=steps, about=about, error=error):
                sink.emit(span)

    def _who(self, what: str, named: str) -> str:
        """Who publishes or commands: as named, else as the settings say, else user@host; ``what`` names the argument.

        Raises:
            UsageError: it is no text.
        """
        return text_of(what, named) or self._settings.publish.publisher or whoami()


def _from_environment() -> Settings:
    for message in unknown_variables(os.environ):
        _logger.warning(message)
    with heard_at_exit("reading the settings"):
        return load_settings()
