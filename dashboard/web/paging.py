"""Pages by key: the next one begins after the last row that was seen, whatever came or went meanwhile."""

import base64
import binascii
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import orjson

from modelcast.dashboard.stream import dumps
from modelcast.schemas.errors import UsageError

T = TypeVar("T")
L = TypeVar("L")
LIMIT_MAX = 1000
LIMIT_DEFAULT = 100
BYTES_MAX = 900_000
"""Of the rows of one answer, so that all of it stays below 1 MiB."""
Key = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Page(Generic[L]):
    """Some rows, and what to ask for next ("": that was all)."""

    rows: tuple[L, ...]
    next: str
    moved_on: bool


def page(
    rows: Sequence[T], key: Callable[[T], Key], line: Callable[[T], L], *, after: str, limit: int, revision: int
) -> Page[L]:
    """The rows after ``after``.

    Args:
        rows: all of them.
        key: sorts them; no two rows have the same one.
        line: a row as it is answered.
        after: a cursor that an earlier page gave, or "".
        limit: how many at most; fewer if they are long.
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
    taken = fitting(line(rows[place]) for _, place in left[:limit])
    cursor = _write(began, left[len(taken) - 1][0]) if len(left) > len(taken) and taken else ""
    return Page(taken, cursor, began != revision)


def fitting(lines: Iterable[L], bytes_max: int = BYTES_MAX) -> tuple[L, ...]:
    """The first lines, as many as fit into ``bytes_max`` as JSON; one at least, if there is any."""
    taken: list[L] = []
    for each in lines:
        bytes_max -= len(dumps(each)) + 1
        if bytes_max < 0 and taken:
            break
        taken.append(each)
    return tuple(taken)


def limit_of(text: str | None) -> int:
    """The number of rows that a request asks for.

    Raises:
        UsageError: it is no number from 1 to 1,000.
    """
    if text is None:
        return LIMIT_DEFAULT
    if not (text.isascii() and text.isdigit() and len(text) <= 9 and 1 <= int(text) <= LIMIT_MAX):
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
