"""The chain of a model's log: one running digest that binds each entry to all entries below it.

``c_0`` is ``origin_digest``, and ``c_g = SHA-256(c_{g-1} || SHA-256(statement g))``, both as raw bytes. A statement
(``schemas/log/statements.py``) names ``c_{g-1}``, so an entry fits in one place of one log only. What is chained is the
statement's bytes alone: whatever may wrap them one day, signatures above all, changes no digest.
"""

import hashlib
from dataclasses import dataclass

from modelcast.schemas.digests import hex_of
from modelcast.schemas.records import Entry

ORIGIN = b"modelcast log v1"


@dataclass(frozen=True, slots=True)
class StatedEntry:
    """An entry as it stands in a log.

    Attributes:
        entry: the record.
        log_digest: ``c_{g-1}`` as its statement has it.
        body: the statement's bytes.
        envelope: the signed envelope that it came in; empty: it came in none.
        signers: ids of the keys whose signatures were found good; empty where nobody looked.
    """

    entry: Entry
    log_digest: str
    body: bytes
    envelope: bytes = b""
    signers: frozenset[str] = frozenset()

    @property
    def stored(self) -> bytes:
        """What lies in the log and is announced: the statement, in its envelope where it is signed."""
        return self.envelope or self.body


def origin_digest(registry_id: str, model: str) -> str:
    """``c_0``: SHA-256 of ``modelcast log v1``, the model and the registry's id, with a zero byte in between."""
    # Neither the constant nor a model's name holds a zero byte, so no two pairs give the same bytes.
    parts = (ORIGIN, model.encode(), registry_id.encode())
    return "sha256:" + hashlib.sha256(b"\0".join(parts)).hexdigest()


def chain(previous: str, statement: bytes) -> str:
    """``c_g``, from ``c_{g-1}`` and the bytes of statement ``g``. Nothing else computes it.

    Raises:
        ContentError: ``previous`` is not a SHA-256 digest.
    """
    links = bytes.fromhex(hex_of(previous)) + hashlib.sha256(statement).digest()
    return "sha256:" + hashlib.sha256(links).hexdigest()
