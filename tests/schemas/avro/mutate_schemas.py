"""Offers mutated schemas to a book and decodes noise with those that it takes; run by ``test_fuzz`` as a process.

Arguments: seed, count. Prints one line of JSON; a failing schema is printed with the seed that made it.
"""

import json
import random
import sys
from copy import deepcopy
from typing import Any

from modelcast.schemas.avro.schema_book import RECORD_CLASSES, SchemaBook
from modelcast.schemas.avro.schema_guard import parse_schema
from modelcast.schemas.avro.schema_nodes import fingerprint
from modelcast.schemas.codec import MARKER, decode, encode
from modelcast.schemas.errors import DecodeError
from tests.schemas.avro.foreign_schemas import EXTRAS, todays, with_every_kind_of_field, written
from tests.support.records import example_records

NOTHING: tuple[Any, ...] = (None, 0, -1, 2**70, 1.5, "", True, [], {})
TYPES: tuple[Any, ...] = (
    "null",
    "long",
    "string",
    "double",
    "bytes",
    "modelcast.ModelAck",
    "PodReport",
    {"type": "array", "items": "null"},
    {"type": "map", "values": "null"},
    {"type": "array", "items": {"type": "record", "name": "Empty", "fields": []}},
    {"type": "array", "items": {"type": "fixed", "name": "Zero", "size": 0}},
    {"type": "record", "name": "Loop", "fields": [{"name": "again", "type": "Loop"}]},
    {"type": "record", "name": "Tree", "fields": [{"name": "kids", "type": {"type": "array", "items": "Tree"}}]},
    {"type": "long", "logicalType": "timestamp-micros"},
    {"type": "bytes", "logicalType": "decimal", "precision": 4, "scale": 2},
    ["null", "long", "string"],
    [],
)


def _places(node: Any) -> list[tuple[Any, Any]]:
    found: list[tuple[Any, Any]] = []
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in items:
        found.append((node, key))
        found.extend(_places(value))
    return found


def mutated(rng: random.Random, schema: dict[str, Any]) -> dict[str, Any]:
    """A schema with one to three of its parts replaced, dropped or repeated; a field is added now and then."""
    schema = deepcopy(schema)
    for _ in range(rng.randrange(1, 4)):
        places = _places(schema)
        typed = [place for place in places if place[1] in {"type", "items", "values"}]
        holder, key = rng.choice(places)
        match rng.randrange(6):
            case 0:
                holder[key] = deepcopy(rng.choice(NOTHING))
            case 1 | 2:
                holder, key = rng.choice(typed)
                holder[key] = deepcopy(rng.choice(TYPES))
            case 3:
                holder[key] = deepcopy(rng.choice(places)[0])
            case 4 if isinstance(holder, list):
                holder.insert(key, deepcopy(rng.choice(TYPES)))
            case _ if isinstance(schema.get("fields"), list):
                added = {"name": f"new_{rng.randrange(99)}", "type": deepcopy(rng.choice(TYPES)), "default": None}
                schema["fields"].insert(rng.randrange(len(schema["fields"]) + 1), added)
    return schema


def main(seed: int, count: int) -> None:
    """Offer ``count`` schemas."""
    rng = random.Random(seed)
    names = [name.rpartition(".")[2] for name in RECORD_CLASSES]
    tally = {"refused": 0, "taken": 0, "decoded": 0}
    plain_of = {path.name.split(".")[0]: path for path in example_records.json_files()}
    book = SchemaBook()
    for number in range(count):
        if number % 50 == 0:
            book = SchemaBook()
        name = rng.choice(names)
        schema = mutated(rng, todays(name) if rng.random() < 0.5 else with_every_kind_of_field(name))
        text = json.dumps(schema)
        try:
            mark = fingerprint(parse_schema(text))
            book.add(mark.hex(), text)
        except DecodeError:
            tally["refused"] += 1
            continue
        except BaseException:
            print(f"seed {seed}: {text}", file=sys.stderr)
            raise
        tally["taken"] += 1
        bodies = [rng.randbytes(rng.randrange(200)), b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01" * 3, b"\0" * 300]
        try:
            bodies.append(written(schema, example_records.plain_of(plain_of[name]) | EXTRAS))
        except Exception:  # the mutation asks for what the example does not have
            bodies.append(b"")
        for body in bodies:
            try:
                record = decode(MARKER + mark + body, book=book)
            except DecodeError:
                continue
            except BaseException:
                print(f"seed {seed}: {body.hex()} with {text}", file=sys.stderr)
                raise
            tally["decoded"] += 1
            assert decode(encode(record)) == record, f"seed {seed}: {body.hex()} with {text}"
    print(json.dumps({"tally": tally}))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
