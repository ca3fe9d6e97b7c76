"""A signed envelope around a record's bytes: DSSE (https://github.com/secure-systems-lab/dsse, v1.0.2) in Avro.

What is signed is DSSE's pre-authentication encoding of the payload's type and the payload, so a signature over an
acknowledgement is none over a log entry of the same bytes.
"""

from dataclasses import dataclass
from enum import StrEnum

SIGNATURES_MAX = 16
SIGNATURE_SIZE_MAX = 8 * 1024
"""In bytes; of ML-DSA-87 it takes 4,627."""


class PayloadType(StrEnum):
    """What an envelope holds; signed with it."""

    ENTRY = "application/vnd.modelcast.log-entry"
    ACK = "application/vnd.modelcast.acknowledgement"
    HEARTBEAT = "application/vnd.modelcast.heartbeat"
    TRIAL = "application/vnd.modelcast.trial"
    """Nothing: signed to find out whether a key can sign and is one of the policy's."""


@dataclass(frozen=True, slots=True)
class Signature:
    """One key's signature over ``pae`` of the envelope's type and payload."""

    keyid: str
    sig: bytes


@dataclass(frozen=True, slots=True)
class Signed:
    """A payload and its signatures. Nothing in the payload is looked at before enough of them are found good."""

    payload_type: str
    payload: bytes
    signatures: tuple[Signature, ...]


def pae(payload_type: str, payload: bytes) -> bytes:
    """What a signature is made of: ``DSSEv1 <len(type)> <type> <len(payload)> <payload>``, lengths in bytes."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)
