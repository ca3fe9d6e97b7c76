"""What single values of a record must be. Every check raises ``BadValue``, which names the field and what it holds."""

import math
import re
from collections.abc import Mapping

from modelcast.schemas.digests import DIGEST_PATTERN
from modelcast.schemas.evidence.counts import SHARES
from modelcast.schemas.names import VERSION_MAX

LONG_MAX = 2**63 - 1
TIME_US_MAX = 253_402_300_800_000_000
"""Microseconds to the year 10000: later times break every calendar that would show them."""
IDENTITY_CHARS_MAX = 256

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class BadValue(ValueError):
    """A value that no record may hold."""


def need_identity(name: str, value: str, chars_max: int = IDENTITY_CHARS_MAX) -> None:
    if not 1 <= len(value) <= chars_max or _CONTROL.search(value):
        raise BadValue(f"{name} is {value[:80]!r}, not 1 to {chars_max} characters in one line")


def need_matches(name: str, value: str, pattern: re.Pattern[str]) -> None:
    if not pattern.fullmatch(value):
        raise BadValue(f"{name} is {value[:80]!r}, not {pattern.pattern}")


def need_digest_or_empty(name: str, value: str) -> None:
    if value:
        need_matches(name, value, DIGEST_PATTERN)


def need_version(name: str, value: int) -> None:
    if not 1 <= value <= VERSION_MAX:
        raise BadValue(f"{name} is {value}, not 1 to {VERSION_MAX}")


def need_version_or_none(name: str, value: int | None) -> None:
    if value is not None:
        need_version(name, value)


def need_count(name: str, value: int) -> None:
    if not 0 <= value <= LONG_MAX:
        raise BadValue(f"{name} is {value}, which is no count")


def need_time(name: str, value: int) -> None:
    if not 0 <= value < TIME_US_MAX:
        raise BadValue(f"{name} is {value}, which is no time from 1970 to 9999 in microseconds")


def need_share(name: str, value: int) -> None:
    if not 0 <= value <= SHARES:
        raise BadValue(f"{name} is {value}, not 0 to {SHARES}")


def need_rate(name: str, value: float) -> None:
    if not (math.isfinite(value) and value >= 0):
        raise BadValue(f"{name} is {value}, which is no rate")


def need_rate_or_none(name: str, value: float | None) -> None:
    if value is not None:
        need_rate(name, value)


def need_numbers(name: str, values: Mapping[str, float]) -> None:
    for key, value in values.items():
        if not math.isfinite(value):
            raise BadValue(f"{name}[{key[:80]!r}] is {value}, which is not finite")
