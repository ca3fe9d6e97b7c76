"""Errors, in two families: the content is bad, or the transport failed.

Each error names the object that it is about and a hint for the person who reads it, and says whether trying
the same thing again can help. Exit codes are those of the command line (``ExitCode``).
"""

from enum import IntEnum


class ExitCode(IntEnum):
    """What the process tells its caller."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    NOT_CONVERGED = 3
    VERIFICATION_FAILED = 4
    REFUSED = 5
    UNREACHABLE = 6
    UNANNOUNCED = 7
    ROLLED_BACK = 8


class ModelcastError(Exception):
    """Root of every error that Modelcast raises on purpose.

    Attributes:
        message: what was wrong, one line.
        subject: the object that it is about (``fraud/7``, an object key, a pod), or "".
        hint: what a person can do next, or "".
        retryable: whether the same call may succeed later without anything being mended.
        exit_code: what the command line returns.
    """

    exit_code: ExitCode = ExitCode.FAILED
    retryable: bool = False

    def __init__(self, message: str, *, subject: str = "", hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.subject = subject
        self.hint = hint

    def __str__(self) -> str:
        head = f"{self.subject}: {self.message}" if self.subject else self.message
        return f"{head} ({self.hint})" if self.hint else head

    def within(self, chars_max: int) -> str:
        """As ``str``, in at most so many characters: what was wrong is cut, what a person can do next stays whole."""
        whole, end = str(self), f"… ({self.hint})"
        if len(whole) <= chars_max or not self.hint or len(end) > chars_max:
            return whole[:chars_max]
        return whole[: chars_max - len(end)] + end

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild, (type(self), self.message, self.subject, self.hint))


def _rebuild(cls: type[ModelcastError], message: str, subject: str, hint: str) -> ModelcastError:
    return cls(message, subject=subject, hint=hint)


# --- the content is bad: trying again does not help -------------------------------------------------------


class ContentError(ModelcastError):
    """What was received or stored is wrong in itself."""


class UsageError(ContentError):
    """A name, reference or option does not make sense."""

    exit_code = ExitCode.USAGE


class DecodeError(ContentError):
    """Bytes are not a record that can be read. ``reason`` is a stable label for metrics and dead letters."""

    def __init__(self, message: str, *, reason: str = "malformed", subject: str = "", hint: str = "") -> None:
        super().__init__(message, subject=subject, hint=hint)
        self.reason = reason

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild_decode, (type(self), self.message, self.reason, self.subject, self.hint))


def _rebuild_decode(cls: type[DecodeError], message: str, reason: str, subject: str, hint: str) -> DecodeError:
    return cls(message, reason=reason, subject=subject, hint=hint)


class UnknownSchema(DecodeError):
    """The writer's schema is not known here (yet): it may be fetched by its fingerprint."""


class BrokenChain(DecodeError):
    """A log entry does not follow the entries below it: it, or one of them, is not what its writer wrote."""

    exit_code = ExitCode.VERIFICATION_FAILED


class VerificationFailed(ContentError):
    """Bytes differ from what the manifest or the log says."""

    exit_code = ExitCode.VERIFICATION_FAILED


class Quarantined(ContentError):
    """A version is quarantined: no pod serves it until a person releases it."""

    exit_code = ExitCode.VERIFICATION_FAILED


class Refused(ContentError):
    """A rule says no: the version exists with other bytes, a pickle, a stale owner, a foreign registry."""

    exit_code = ExitCode.REFUSED


class MovedOn(Refused):
    """The log has other entries than the caller had seen when he decided."""


class ForeignRegistry(Refused):
    """A record or a state belongs to another registry than the one in use: the store was wiped or restored."""


class RegistryIdLost(ForeignRegistry):
    """A store holds logs, but not the id of the registry that they belong to."""


class RolledBack(ContentError):
    """A rollout ended without its candidate: it was aborted, or something else is served now."""

    exit_code = ExitCode.ROLLED_BACK


class NotFound(ContentError):
    """A model, version or object does not exist."""


# --- the transport failed: trying again may help ---------------------------------------------------------


class TransportError(ModelcastError):
    """A dependency did not do its part."""

    exit_code = ExitCode.UNREACHABLE
    retryable = True


class StoreUnavailable(TransportError):
    """The object store could not be reached or answered with a server error."""


class KafkaUnavailable(TransportError):
    """The Kafka cluster could not be reached or did not confirm in time."""


class RedisUnavailable(TransportError):
    """Redis could not be reached."""


class NotAnnounced(TransportError):
    """A publication is claimed in the log, but Kafka did not confirm the announcement."""

    exit_code = ExitCode.UNANNOUNCED


class NotConverged(ModelcastError):
    """The wished-for state was not reached in time."""

    exit_code = ExitCode.NOT_CONVERGED
