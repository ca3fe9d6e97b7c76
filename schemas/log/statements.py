"""What lies in a registry log: an entry's own bytes, inside a statement about where in the log they stand.

The statement is what signatures sign, and what ``chain`` chains. ``read_stated`` is the one way in for bytes, whether a
store or Kafka gave them; it finds damage to the bytes themselves and, by ``Trust``, who may not say what they say.
Whether an entry follows what was read before is found by ``ModelLog.extend``.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from modelcast.schemas.avro.schema_book import SchemaBook
from modelcast.schemas.codec import decode, decode_as, encode, writer_schema_digest
from modelcast.schemas.digests import sha256_of
from modelcast.schemas.errors import DecodeError
from modelcast.schemas.log.chain import StatedEntry
from modelcast.schemas.records import Entry, ModelCommand, ModelUpdate, Statement
from modelcast.schemas.trust.envelope import PayloadType, Signature, Signed, pae
from modelcast.schemas.trust.policy import TrustPolicy
from modelcast.schemas.trust.subjects import subjects_of
from modelcast.schemas.trust.verdict import Untrusted, Verify, good_keys, is_signed, open_signed, require

Sign = Callable[[bytes], tuple[Signature, ...]]
"""Signatures over some bytes, by the keys that a writer holds. Raises ``ModelcastError`` where a key can't be used."""


@dataclass(frozen=True, slots=True)
class Trust:
    """What a reader of logs goes by: today's policy, and how a signature is verified."""

    policy: TrustPolicy
    verify: Verify


def state(entry: Entry, log_digest: str, sign: Sign | None = None) -> StatedEntry:
    """``entry`` as its writer puts it above a log whose running digest is ``log_digest``, signed where it can sign.

    Raises:
        ContentError: a value is not allowed, or the whole is too large.
    """
    said = encode(entry)
    statement = Statement(
        schema_digest=writer_schema_digest(type(entry)),
        log_generation=entry.generation,
        log_digest=log_digest,
        said_digest=sha256_of(said),
        said=said,
    )
    body = encode(statement)
    if sign is None:
        return StatedEntry(entry, log_digest, body)
    signatures = sign(pae(PayloadType.ENTRY, body))
    envelope = encode(Signed(PayloadType.ENTRY, body, signatures))
    return StatedEntry(entry, log_digest, body, envelope, frozenset(each.keyid for each in signatures))


def read_stated(body: bytes | None, *, book: SchemaBook, trust: Trust | None = None) -> StatedEntry:
    """The entry that ``body`` states, signed or not.

    Args:
        body: what a store or Kafka gave.
        book: the schemas that entries may be written with. The statement's own is never looked up.
        trust: who may say what; None: signatures are not looked at. What lies below a model's floor needs none: there
            the running digest must be the floor's, which who reads the log compares.

    Raises:
        UnknownSchema: the entry's writer's schema is not in ``book``, or another one is under its fingerprint.
        Untrusted: its signers may not say it.
        DecodeError: it is no statement, or what it says of itself is not so.
    """
    statement, good, doubt = _opened(body, trust)
    stated = _stated(statement, body or b"", book)
    if trust is None:
        return stated
    floor = trust.policy.floors.get(stated.entry.model)
    if floor is not None and stated.entry.generation <= floor.generation:
        return stated
    if doubt is not None:
        raise doubt
    require(subjects_of(stated.entry), good, trust.policy)
    return replace(stated, signers=good)


def _opened(body: bytes | None, trust: Trust | None) -> tuple[bytes, frozenset[str], Untrusted | None]:
    """The statement's bytes, who has signed them, and why they are not to be believed if no floor bears them out."""
    if trust is None:
        return (_enveloped(body) if is_signed(body) else body or b""), frozenset(), None
    try:
        signed = open_signed(body, PayloadType.ENTRY)
        return signed.payload, good_keys(signed, trust.policy, trust.verify), None
    except Untrusted as error:
        if not trust.policy.floors:  # nothing of a payload is parsed that nobody known has signed
            raise
        return (_enveloped(body) if is_signed(body) else body or b""), frozenset(), error


def _enveloped(body: bytes | None) -> bytes:
    return open_signed(body, PayloadType.ENTRY).payload


def _stated(payload: bytes, stored: bytes, book: SchemaBook) -> StatedEntry:
    try:
        statement = decode_as(Statement, payload)
    except DecodeError as error:
        raise DecodeError(f"not a log entry's statement: {error.message}", reason=error.reason) from None
    if sha256_of(statement.said) != statement.said_digest:
        raise DecodeError("its bytes are damaged: they have another SHA-256 than it names", reason="damaged")
    record = decode(statement.said, book=book, schema_digest=statement.schema_digest)
    if not isinstance(record, ModelUpdate | ModelCommand):
        raise DecodeError(f"a {type(record).__name__}, not a log entry", reason="bad-value")
    if record.generation != statement.log_generation:
        message = f"entry {record.generation} in a statement about {statement.log_generation}"
        raise DecodeError(message, reason="bad-value")
    return StatedEntry(record, statement.log_digest, payload, stored if stored != payload else b"")
