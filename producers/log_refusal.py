"""Why a model's log refuses a version or a publication, with the person who commanded it: read when it is asked."""

from contextlib import suppress

from modelcast.infra.registry.configured import registry_of
from modelcast.infra.registry.reader import RegistryReader
from modelcast.infra.settings import Settings
from modelcast.producers.planning.publication import Conflict
from modelcast.producers.planning.refusals import by_whom, quarantine_line
from modelcast.schemas.errors import ModelcastError, Refused
from modelcast.schemas.log.fold import ModelLog


def refused(reader: RegistryReader, model: str, conflict: Conflict) -> Refused:
    """The error of a publication that the log forbids, with who commanded what forbids it, where that can be read."""
    timed = None
    if conflict.commanded_at is not None:
        with suppress(ModelcastError):
            timed = reader.entry(model, conflict.commanded_at)
    return conflict.error(by_whom(timed.entry if timed is not None else None))


class LogRefusal:
    """Whether the log refuses a version. Blocking.

    Attributes:
        log: as far as it was read; None: it could not be.
    """

    def __init__(self, settings: Settings, model: str, version: int) -> None:
        self._settings, self._model, self._version = settings, model, version
        self._reader: RegistryReader | None = None
        self.log: ModelLog | None = None

    def __call__(self) -> str:
        """Why the log refuses the version, for people; "" if it does not, or can't be read now."""
        try:
            if self._reader is None:
                self._reader = registry_of(self._settings)
            self.log = log = self._reader.tail(self._model, self.log).log
            since = log.quarantined.get(self._version)
            timed = self._reader.entry(self._model, since) if since is not None else None
        except ModelcastError:
            return ""
        return quarantine_line(log, timed.entry if timed is not None else None, self._version)

    def close(self) -> None:
        """End the reader's threads."""
        if self._reader is not None:
            self._reader.close()
