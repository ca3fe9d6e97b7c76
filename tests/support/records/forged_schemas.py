"""A schema that has another one's CRC-64 and says something else: forged as an attacker would, by linear algebra."""

import json
from copy import deepcopy
from typing import Any

from modelcast.schemas.avro.schema_guard import parse_schema
from modelcast.schemas.avro.schema_nodes import canonical, fingerprint_hex

FREE_CHARS = 96
"""Each of them is one free bit: an ``a`` or a ``c``, which differ in one."""


def forged_schema(schema: dict[str, Any], fingerprint: str) -> str:
    """``schema``, a ``ModelUpdate``'s, with version and generation swapped, and with this fingerprint (16 hex digits).

    A nested type's namespace is free to hold what the fingerprint takes: it is a CRC, linear in each bit.
    """
    forged = deepcopy(schema)
    names = [field["name"] for field in forged["fields"]]
    one, other = names.index("version"), names.index("generation")
    forged["fields"][one], forged["fields"][other] = forged["fields"][other], forged["fields"][one]
    artifact = next(field for field in forged["fields"] if field["name"] == "artifact")["type"]
    short = artifact["name"].rpartition(".")[2]

    def text_of(free: str) -> str:
        artifact["name"] = f"{free}.{short}"
        return canonical(parse_schema(json.dumps(forged)))

    base = "a" * FREE_CHARS
    crc = _crc(text_of(base))
    changes = [crc ^ _crc(text_of(base[:n] + "c" + base[n + 1 :])) for n in range(FREE_CHARS)]
    chosen = _solve(changes, crc ^ int(fingerprint, 16))
    return text_of("".join("c" if n in chosen else "a" for n in range(FREE_CHARS)))


def _crc(text: str) -> int:
    return int(fingerprint_hex(text), 16)


def _solve(changes: list[int], target: int) -> set[int]:
    """Which of ``changes``, taken together by exclusive or, make ``target``."""
    rows: dict[int, tuple[int, set[int]]] = {}  # by highest bit
    for n, value in enumerate(changes):
        used = {n}
        while value:
            high = value.bit_length() - 1
            if high not in rows:
                rows[high] = (value, used)
                break
            value, used = value ^ rows[high][0], used ^ rows[high][1]
    chosen: set[int] = set()
    while target:
        value, used = rows[target.bit_length() - 1]
        target, chosen = target ^ value, chosen ^ used
    return chosen
