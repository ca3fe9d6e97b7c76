"""What lies in a registry log: an entry's own bytes, inside a statement about where in the log they stand.

The statement is what later signatures sign, and what ``chain`` chains. ``read_stated`` is the one way in for bytes,
whether a store or Kafka gave them; it finds damage to the bytes themselves. Whether an entry follows what was read
before is found by ``ModelLog.extend``.
"""

from modelcast.schemas.avro.schema_book import SchemaBook
from modelcast.schemas.codec import decode, decode_as, encode, writer_schema_digest
from modelcast.schemas.digests import sha256_of
from modelcast.schemas.errors import DecodeError
from modelcast.schemas.log.chain import StatedEntry
from modelcast.schemas.records import Entry, ModelCommand, ModelUpdate, Statement


def state(entry: Entry, log_digest: str) -> StatedEntry:
    """``entry`` as its writer puts it above a log whose running digest is ``log_digest``.

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
    return StatedEntry(entry, log_digest, encode(statement))


def read_stated(body: bytes | None, *, book: SchemaBook) -> StatedEntry:
    """The entry that ``body`` states.

    Args:
        body: what a store or Kafka gave.
        book: the schemas that entries may be written with. The statement's own is never looked up.

    Raises:
        UnknownSchema: the entry's writer's schema is not in ``book``, or another one is under its fingerprint.
        DecodeError: it is no statement, or what it says of itself is not so.
    """
    try:
        statement = decode_as(Statement, body)
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
    return StatedEntry(record, statement.log_digest, body or b"")
