"""Pages by key: the next one begins after the last row that was seen, whatever came or went meanwhile."""

import base64
import binascii
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import orjson

from modelcast.schemas.errors import UsageError

T = TypeVar("T")
LIMIT_MAX = 1000
LIMIT_DEFAULT = 100
Key = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Some rows, and what to ask for next ("": that was all)."""

    rows: tuple[T, ...]
    next: str
    moved_on: bool


def page(rows: Sequence[T], key: Callable[[T], Key], *, after: str, limit: int, revision: int) -> Page[T]:
    """The rows after ``after``.

    Args:
        rows: all of them.
        key: sorts them; no two rows have the same one.
        after: a cursor that an earlier page gave, or "".
        limit: how many at most.
        revision: of what is listed; the cursor carries that of its first page.

    Raises:
        UsageError: the cursor is not one of ours.
    """
    keyed = sorted((key(row), place) for place, row in enumerate(rows))
    began, last = (revision, None) if not after else _read(after)
    try:
        left = keyed if last is None else [each for each in keyed if each[0] > last]
    except TypeError:
        raise _not_ours() from None
    taken = left[:limit]
    more = len(left) > limit
    cursor = _write(began, taken[-1][0]) if more and taken else ""
    return Page(tuple(rows[place] for _, place in taken), cursor, began != revision)


def limit_of(text: str | None) -> int:
    """The number of rows that a request asks for.

    Raises:
        UsageError: it is no number from 1 to 1,000.
    """
    if text is None:
        return LIMIT_DEFAULT
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= LIMIT_MAX):
        raise UsageError(f"{text[:40]!r} is no number of rows", subject="limit", hint=f"give it 1 to {LIMIT_MAX}")
    return int(text)


def _write(revision: int, key: Key) -> str:
    return base64.urlsafe_b64encode(orjson.dumps([revision, *key])).decode().rstrip("=")


def _read(cursor: str) -> tuple[int, Key]:
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        revision, *key = orjson.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
    except (binascii.Error, ValueError, TypeError):
        raise _not_ours() from None
    if not isinstance(revision, int) or not all(isinstance(part, str | int) for part in key):
        raise _not_ours()
    return revision, tuple(key)


def _not_ours() -> UsageError:
    return UsageError("no such place in the list", subject="after", hint="leave it out to begin anew")
