"""Which snapshots need not be read, because a newer one of the same model and region was already fetched.

Headers tell which (``schemas/ack_headers.py``). They only leave work out: what is folded is decoded, checked whole and
compared with its headers; should the newer one turn out to be unusable, the one that it overtook is folded in its
place. A record without headers is always read; so is a damaged one, so that it goes where damaged records go.
"""

from typing import NamedTuple

from modelcast.schemas.ack_headers import AckHeaders
from modelcast.schemas.avro.well_framed import ack_is_well_framed

Whose = tuple[int, str, str, str]  # partition, registry id, model, region


class Overtaken(NamedTuple):
    """A record that was left out."""

    raw: bytes
    headers: AckHeaders


class Backlog:
    """The records that were fetched and wait behind the one that is being taken."""

    def __init__(self) -> None:
        self.noted = 0
        """How many records were fetched so far."""
        self._until: dict[int, int] = {}  # partition -> offset of the last record fetched
        # (epoch, sequence) and offset of the newest snapshots of one page that were not taken yet.
        self._newest: dict[Whose, tuple[tuple[int, int], int]] = {}
        self._overtaken: dict[Whose, Overtaken] = {}

    def fetched(self, partition: int, offset: int, headers: AckHeaders | None) -> None:
        """Note a fetched record; it is taken after those before it."""
        self.noted += 1
        self._until[partition] = offset
        if headers is not None and headers.pages == 1:
            whose = _whose(partition, headers)
            self._newest[whose] = max((_order(headers), offset), self._newest.get(whose, ((0, 0), 0)))

    def is_last(self, partition: int, offset: int) -> bool:
        """Whether nothing behind this record is known."""
        return offset >= self._until.get(partition, 0)

    def overtaken(
        self, partition: int, raw: bytes, headers: AckHeaders | None, registry_id: str, offset: int = -1
    ) -> bool:
        """Whether the record that is being taken need not be read, because a newer snapshot of one page follows.

        Args:
            partition: where it stands.
            raw: its bytes.
            headers: its headers.
            registry_id: ours; another's records are to be refused, not left out.
            offset: where it stands in the partition; what stands before it was passed, and does not follow any more.
        """
        if headers is None or headers.registry_id != registry_id or headers.pages != 1:
            return False
        whose = _whose(partition, headers)
        newest, newest_at = self._newest.get(whose, ((0, 0), 0))
        if _order(headers) >= newest or newest_at < offset:
            self._newest.pop(whose, None)  # it is taken now: nothing newer follows
            return False
        if not ack_is_well_framed(raw):
            return False
        self._overtaken[whose] = Overtaken(raw, headers)
        return True

    def in_place_of(self, partition: int, headers: AckHeaders | None) -> Overtaken | None:
        """The records that an unusable record with these headers overtook."""
        return None if headers is None else self._overtaken.pop(_whose(partition, headers), None)

    def read(self, partition: int, headers: AckHeaders) -> None:
        """Forget the records that a usable record overtook."""
        self._overtaken.pop(_whose(partition, headers), None)


def _whose(partition: int, headers: AckHeaders) -> Whose:
    return (partition, headers.registry_id, headers.model, headers.region)


def _order(headers: AckHeaders) -> tuple[int, int]:
    return (headers.epoch, headers.sequence)
