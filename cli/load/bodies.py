"""Requests that fit a model, made up from its V2 metadata. Pure but for chance."""

import random
from collections.abc import Mapping
from typing import Any

from modelcast.schemas.errors import ContentError

BODIES = 64
"""So many different ones, in turn: no cache, and no gate on constant answers, sees the same one always."""
ELEMENTS_MAX = 1_000_000


def made_up(metadata: Mapping[str, Any], chance: random.Random, count: int = BODIES) -> list[dict[str, Any]]:
    """Requests of random numbers; free dimensions are 1.

    Args:
        metadata: of the model, as ``GET /v2/models/NAME`` answers it.
        chance: seeded by the caller.
        count: how many.

    Raises:
        ContentError: the model says no inputs, or one that is too large to be made up.
    """
    inputs = metadata.get("inputs")
    if not isinstance(inputs, list) or not inputs:
        raise ContentError("its metadata names no inputs", hint="write a request into a file, and give --request FILE")
    return [{"inputs": [_input(each, chance) for each in inputs]} for _ in range(count)]


def _input(spec: Mapping[str, Any], chance: random.Random) -> dict[str, Any]:
    shape = [size if size > 0 else 1 for size in spec["shape"]]
    elements = 1
    for size in shape:
        elements *= size
    if elements > ELEMENTS_MAX:
        raise ContentError(f"input {spec['name']!r} has {elements} elements", hint="give --request FILE")
    datatype = spec["datatype"]
    return {
        "name": spec["name"],
        "datatype": datatype,
        "shape": shape,
        "data": [_value(datatype, chance) for _ in range(elements)],
    }


def _value(datatype: str, chance: random.Random) -> Any:
    if datatype.startswith("FP"):
        return round(chance.random(), 6)
    if datatype == "BOOL":
        return chance.random() < 0.5
    return f"text {chance.randrange(1000)}" if datatype == "BYTES" else chance.randrange(10)
