"""Kafka headers of ``model-acks``: which snapshot of which region a record is a page of, without decoding it.

A consumer with a backlog uses them to leave out what a newer snapshot overtakes. They are hints: what is used is
decoded, and must agree with its headers. A record without headers is one that has to be decoded.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Self

from modelcast.schemas.records import ModelAck

PREFIX = "modelcast-"
DIGITS_MAX = 19


@dataclass(frozen=True, slots=True)
class AckHeaders:
    """What the headers say."""

    registry_id: str
    model: str
    region: str
    epoch: int
    sequence: int
    page: int
    pages: int
    pods: int  # in this page

    @classmethod
    def of(cls, ack: ModelAck) -> Self:
        """The headers that belong to ``ack``."""
        place = (ack.epoch, ack.sequence, ack.page, ack.pages)
        return cls(ack.registry_id, ack.model, ack.region, *place, len(ack.pods))

    @classmethod
    def read(cls, headers: Mapping[str, bytes] | Iterable[tuple[str, bytes]] | None) -> Self | None:
        """What a record's headers say; None if any is missing or can't be read."""
        found = dict(headers or ())
        texts = [found.get(PREFIX + name) for name in ("registry-id", "model", "region")]
        numbers = [found.get(PREFIX + name) for name in ("epoch", "sequence", "page", "pages", "pods")]
        try:
            named = [text.decode() for text in texts if text is not None]
            counted = [int(n) for n in numbers if n is not None and len(n) <= DIGITS_MAX and n.isdigit()]
        except UnicodeDecodeError:
            return None
        if len(named) != len(texts) or len(counted) != len(numbers):
            return None
        return cls(named[0], named[1], named[2], *counted)

    def written(self) -> dict[str, bytes]:
        """The headers as Kafka takes them."""
        texts = {"registry-id": self.registry_id, "model": self.model, "region": self.region}
        numbers = {
            "epoch": self.epoch, "sequence": self.sequence, "page": self.page, "pages": self.pages, "pods": self.pods
        }  # fmt: skip
        return {PREFIX + name: str(value).encode() for name, value in {**texts, **numbers}.items()}
