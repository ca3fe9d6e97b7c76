"""Decodes mutated records, in a process of its own so that a crash is seen; run by ``test_fuzz``.

Arguments: seed, count. Prints one line of JSON; a failing payload is printed in hex with the seed that made it.
"""

import json
import random
import sys
import time
from dataclasses import replace

from modelcast.schemas.codec import HEADER_SIZE_BYTES, SchemaBook, decode, encode
from modelcast.schemas.errors import DecodeError
from modelcast.schemas.records import ModelAck
from modelcast.schemas.topics import RECORD_SIZE_MAX
from tests.schemas.avro.foreign_schemas import foreign_payloads
from tests.support.records import example_records

SECONDS_MAX_ONE = 2.0
BOMBS = (
    b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
    b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01",
    b"\xfe\xff\xff\xff\x0f",
    b"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x00",
    b"\x01",
    b"\x00",
)


def mutated(rng: random.Random, pool: list[bytes]) -> bytes:
    """One payload with one to four things done to it; mostly behind the header, so that it gets far."""
    data = bytearray(rng.choice(pool))
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        first = HEADER_SIZE_BYTES if len(data) > HEADER_SIZE_BYTES and rng.random() < 0.95 else 0
        at = rng.randrange(first, len(data)) if len(data) > first else 0
        match rng.choice((0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 3, 4, 5, 6, 7)):
            case 0 if data:
                data[at] ^= 1 << rng.randrange(8)
            case 1 if data:
                data[at] = rng.randrange(256)
            case 2:
                del data[at:]
            case 3:
                other = rng.choice(pool)
                data[at:] = other[rng.randrange(len(other)) :]
            case 4:
                data[at : at + rng.randrange(2)] = rng.choice(BOMBS)
            case 5:
                piece = data[at : at + rng.randrange(1, 64)]
                data[at:at] = piece * rng.randrange(1, 4)
            case 6:
                del data[at : at + rng.randrange(1, 16)]
            case _:
                data[at:at] = rng.randbytes(rng.randrange(1, 16))
    if rng.random() < 0.002:
        data += rng.choice((b"\0", b"\x02", b"\xff")) * rng.randrange(2 * RECORD_SIZE_MAX)
    return bytes(data)


def ack_with_many_pods() -> bytes:
    """A snapshot's page that holds two hundred pods."""
    page = example_records.record_of(example_records.FOLDER / "ModelAck.v1.three-pods.json")
    assert isinstance(page, ModelAck)
    return encode(replace(page, pods=tuple(replace(page.pods[0], pod=f"pod-{i}") for i in range(200))))


def main(seed: int, count: int) -> None:
    """Decode ``count`` payloads."""
    rng = random.Random(seed)
    book = SchemaBook()
    pool = [*example_records.example_bytes(), *foreign_payloads(book), ack_with_many_pods()]
    tally: dict[str, int] = {}
    slowest = 0.0
    for _ in range(count):
        data = mutated(rng, pool)
        began = time.perf_counter()
        try:
            record = decode(data, book=book)
            outcome = "decoded"
        except DecodeError as error:
            outcome = error.reason
        except BaseException:
            print(f"seed {seed}: {data.hex()}", file=sys.stderr)
            raise
        slowest = max(slowest, time.perf_counter() - began)
        if outcome == "decoded" and decode(encode(record)) != record:
            raise AssertionError(f"seed {seed}: does not go round: {data.hex()}")
        tally[outcome] = tally.get(outcome, 0) + 1
    if slowest > SECONDS_MAX_ONE:
        raise AssertionError(f"seed {seed}: one payload took {slowest:.1f} s")
    print(json.dumps({"tally": tally, "slowest_seconds": slowest}))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
