"""The requests that an artifact records with the answers that its version must give: pure.

``modelcast/sample.json`` holds one object or a list of them::

    {"request":  {"inputs": [...]},                 a V2 request
     "response": {"outputs": [...]},                the answer to it, as V2's JSON; without it, only answered must it be
     "relative": 1e-3, "absolute": 1e-4,            how far a number may be off (these are the defaults)
     "part": "encoder"}                             of a version with several models: which

``null`` stands for a number that is not finite, as it does in the JSON that servers answer.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from modelcast.consumers.pod.engine import NotLoadable

SAMPLE_FILE = "modelcast/sample.json"
SAMPLE_SIZE_MAX = 16 * 1024 * 1024
SAMPLES_MAX = 100
RELATIVE, ABSOLUTE = 1e-3, 1e-4
_EXACT = {"BOOL", "BYTES"}


@dataclass(frozen=True, slots=True)
class RecordedSample:
    """One recorded request."""

    request: Mapping[str, Any]
    outputs: tuple[Mapping[str, Any], ...]  # V2's, by which an answer is judged
    relative: float = RELATIVE
    absolute: float = ABSOLUTE
    part: str = ""


def read_samples(body: bytes) -> tuple[RecordedSample, ...]:
    """What the file holds.

    Raises:
        NotLoadable: it is damaged: a version whose samples can't be read can't be judged.
    """
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise NotLoadable(f"not JSON: {error}", subject=SAMPLE_FILE) from None
    items = found if isinstance(found, list) else [found]
    if not 1 <= len(items) <= SAMPLES_MAX:
        raise NotLoadable(f"needs 1 to {SAMPLES_MAX} samples", subject=SAMPLE_FILE)
    return tuple(_sample(item) for item in items)


def answer_difference(sample: RecordedSample, answer: Mapping[str, Any]) -> str:
    """The first way in which an answer is not the recorded one, for people; "": it is.

    Outputs that were not recorded do not count.
    """
    outputs = answer.get("outputs")
    given = {o.get("name"): o for o in outputs if isinstance(o, Mapping)} if isinstance(outputs, list) else {}
    for recorded in sample.outputs:
        name = recorded["name"]
        output = given.get(name)
        if output is None:
            return f"no output {name!r}"
        for field in ("datatype", "shape"):
            if output.get(field) != recorded[field]:
                return f"output {name!r} has {field} {output.get(field)}, recorded is {recorded[field]}"
        if difference := _values_differ(sample, recorded, output):
            return f"output {name!r} {difference}"
    return ""


def _values_differ(sample: RecordedSample, recorded: Mapping[str, Any], output: Mapping[str, Any]) -> str:
    expected, found = _flat(recorded["data"]), _flat(output.get("data"))
    if len(expected) != len(found):
        return f"has {len(found)} values, recorded are {len(expected)}"
    exact = recorded["datatype"] in _EXACT
    worst, at = 0.0, -1
    for index, (a, b) in enumerate(zip(expected, found, strict=True)):
        if a == b:
            continue
        if a is None or b is None:
            return f"is {'not finite' if b is None else b} at {index}, recorded is {'not finite' if a is None else a}"
        if exact or not _is_number(a) or not _is_number(b):
            return f"is {str(b)[:60]!r} at {index}, recorded is {str(a)[:60]!r}"
        if not math.isclose(a, b, rel_tol=sample.relative, abs_tol=sample.absolute) and abs(a - b) > worst:
            worst, at = abs(a - b), index
    if at < 0:
        return ""
    tolerance = f"relative {sample.relative:g}, absolute {sample.absolute:g}"
    return f"is {found[at]:g} at {at}, recorded is {expected[at]:g} (tolerance: {tolerance})"


def _flat(data: Any) -> list[Any]:
    flat = data if isinstance(data, list) else [data]
    while any(isinstance(item, list) for item in flat):
        flat = [inner for item in flat for inner in (item if isinstance(item, list) else [item])]
    return flat


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _sample(item: object) -> RecordedSample:
    if not isinstance(item, dict) or not isinstance(item.get("request"), dict):
        raise NotLoadable('a sample needs an object "request"', subject=SAMPLE_FILE)
    response, part = item.get("response", {"outputs": []}), item.get("part", "")
    outputs = response.get("outputs") if isinstance(response, dict) else None
    if not isinstance(outputs, list) or not all(_is_output(output) for output in outputs):
        raise NotLoadable('"response" needs "outputs" with name, datatype, shape and data', subject=SAMPLE_FILE)
    if not isinstance(part, str):
        raise NotLoadable('"part" must be a name', subject=SAMPLE_FILE)
    relative, absolute = item.get("relative", RELATIVE), item.get("absolute", ABSOLUTE)
    if not all(_is_number(n) and 0 <= n < math.inf for n in (relative, absolute)):
        raise NotLoadable('"relative" and "absolute" must be numbers from 0', subject=SAMPLE_FILE)
    return RecordedSample(item["request"], tuple(outputs), float(relative), float(absolute), part)


def _is_output(output: object) -> bool:
    return (
        isinstance(output, dict)
        and isinstance(output.get("name"), str)
        and {"datatype", "shape", "data"} <= set(output)
    )
