"""What a check comes to."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from functools import partial

from modelcast.schemas.errors import ExitCode, ModelcastError, TransportError


class Result(StrEnum):
    """What a check came to."""

    ok = "ok"
    warning = "warning"
    error = "error"
    unreachable = "unreachable"
    skipped = "skipped"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at: what it is, what is so, and what to do next."""

    subject: str
    result: Result
    detail: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Unit:
    """What is looked at in one go, beside all others.

    Attributes:
        subject: for messages, should it not come to an end.
        look: yields checks as they are done; it may raise.
        seconds_max: seconds after which the unit is given up; what it has found is shown.
    """

    subject: str
    look: Callable[[], Iterable[Check]]
    seconds_max: float = 30.0


def known(check: Check) -> Unit:
    """What need not be looked at: it is known."""
    return Unit(check.subject, partial(iter, [check]))


def failed(subject: str, error: ModelcastError) -> Check:
    """A check that ended in an error."""
    result = Result.unreachable if isinstance(error, TransportError) else Result.error
    where = f"{subject}: {error.subject}" if error.subject else subject
    return Check(where, result, error.message, error.hint)


def exit_code(checks: list[Check]) -> ExitCode:
    """0: all is well (warnings allowed); 1: something is wrong; 6: something can't be reached."""
    results = {check.result for check in checks}
    if Result.error in results:
        return ExitCode.FAILED
    return ExitCode.UNREACHABLE if Result.unreachable in results else ExitCode.DONE
