"""Which snapshots need not be read: a newer one of the same model and region is at hand already.

Only the beginning of a record is read, and only to leave work out; one that is not well framed is never left out, so
that it goes where damaged records go. What is folded is always decoded and checked whole; should the newer one turn
out to be unusable, the one that it overtook is folded in its place.
"""

from typing import NamedTuple, Protocol

from modelcast.schemas.avro.well_framed import ack_is_well_framed
from modelcast.schemas.codec import HEADER_SIZE_BYTES, MARKER, writer_schema
from modelcast.schemas.records import ModelAck

_OURS = MARKER + bytes.fromhex(writer_schema(ModelAck)[0])
_LONG_BYTES_MAX = 10


class Peek(NamedTuple):
    """What stands at the beginning of a ``ModelAck``."""

    whose: tuple[bytes, bytes, bytes]  # registry id, model, region
    order: tuple[int, int]  # epoch, sequence
    pages: int
    pods: int  # in this page


def peek(raw: bytes | None) -> Peek | None:
    """The beginning of an encoded ``ModelAck`` of today's schema; None if it can't be made out."""
    if raw is None or not raw.startswith(_OURS):
        return None
    try:
        at = HEADER_SIZE_BYTES
        registry_id, at = _text(raw, at)
        model, at = _text(raw, at)
        region, at = _text(raw, at)
        _worker, at = _text(raw, at)
        epoch, at = _long(raw, at)
        sequence, at = _long(raw, at)
        _page, at = _long(raw, at)
        pages, at = _long(raw, at)
        _generation, at = _long(raw, at)
        at = _skip_version(raw, at)
        _digest, at = _text(raw, at)
        _state, at = _long(raw, at)
        _reported_at, at = _long(raw, at)
        _staged_generation, at = _long(raw, at)
        at = _skip_version(raw, at)
        at = _skip_version(raw, at)
        pods, at = _long(raw, at)
    except (IndexError, ValueError):
        return None
    return Peek((registry_id, model, region), (epoch, sequence), pages, abs(pods))


class Records(Protocol):
    """Values of records, in order."""

    def __len__(self) -> int: ...
    def __getitem__(self, number: int, /) -> bytes | None: ...


class Backlog:
    """What waits behind the record that is being taken."""

    def __init__(self) -> None:
        self._newest: dict[tuple[bytes, bytes, bytes], tuple[int, int]] = {}
        self._overtaken: dict[tuple[bytes, bytes, bytes], bytes] = {}
        self._looked_at = 0  # how many of the waiting records `_newest` knows of

    def overtaken(self, raw: bytes, waiting: Records, registry_id: str) -> Peek | None:
        """What ``raw`` begins with, if a newer snapshot of one page waits; None: it has to be read.

        Args:
            raw: the record that is being taken.
            waiting: the records behind it, in order.
            registry_id: ours; another's records are to be refused, not left out.
        """
        self._looked_at -= 1
        if not 0 < self._looked_at <= len(waiting):
            self._looked_at = 0
            self._newest.clear()
        self._look(waiting, registry_id.encode())
        if not self._newest:
            return None
        found = peek(raw)
        if found is None or found.pages != 1 or found.order >= self._newest.get(found.whose, (0, 0)):
            return None
        if not ack_is_well_framed(raw):
            return None
        self._overtaken[found.whose] = raw
        return found

    def in_place_of(self, raw: bytes) -> bytes | None:
        """The last record that ``raw``, which can't be used, has overtaken."""
        found = peek(raw)
        return self._overtaken.pop(found.whose, None) if found else None

    def read(self, registry_id: str, model: str, region: str) -> None:
        """A newer one was good: what it overtook is not needed."""
        if self._overtaken:
            self._overtaken.pop((registry_id.encode(), model.encode(), region.encode()), None)

    def _look(self, waiting: Records, ours: bytes) -> None:
        for number in range(self._looked_at, len(waiting)):
            found = peek(waiting[number])
            if found is not None and found.pages == 1 and found.whose[0] == ours:
                self._newest[found.whose] = max(found.order, self._newest.get(found.whose, (0, 0)))
        self._looked_at = len(waiting)


def _long(data: bytes, at: int) -> tuple[int, int]:
    byte = data[at]
    if byte < 0x80:
        return (byte >> 1) ^ -(byte & 1), at + 1
    number, shift = 0, 0
    for end in range(at, at + _LONG_BYTES_MAX):
        byte = data[end]
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return (number >> 1) ^ -(number & 1), end + 1
        shift += 7
    raise ValueError("not a long")


def _text(data: bytes, at: int) -> tuple[bytes, int]:
    length, at = _long(data, at)
    if not 0 <= length <= len(data) - at:
        raise ValueError("not a text")
    return data[at : at + length], at + length


def _skip_version(data: bytes, at: int) -> int:
    """A union of null and long."""
    branch, at = _long(data, at)
    return _long(data, at)[1] if branch == 1 else at
