"""What callers hand in, as training code has it: numbers and texts of other libraries, one region or several.

What can be converted without a doubt is; anything else is refused before a file is read.
"""

import datetime
import math
import numbers
import uuid
from collections.abc import Iterable, Mapping
from pathlib import PurePath
from typing import Any

from modelcast.schemas.errors import UsageError
from modelcast.schemas.names import check_region
from modelcast.schemas.records import Activation

TEXT_MAX = 4096


def region_names_of(regions: object) -> tuple[str, ...]:
    """The regions named, in that order; a text is one region's name, None means none.

    Raises:
        UsageError: a name is malformed, or they are no names.
    """
    if regions is None:
        return ()
    if isinstance(regions, str):
        return (check_region(regions),)
    if not isinstance(regions, Iterable) or isinstance(regions, bytes | Mapping):
        raise UsageError(f"regions are {_shown(regions)}", hint='write "eu" or ["eu", "us"]')
    return tuple(check_region(name) for name in regions)


def metrics_of(metrics: object) -> dict[str, float]:
    """Finite numbers by name, of whatever type has them: numpy's, torch's, decimals.

    Raises:
        UsageError: one is none.
    """
    return {text_of("metric", name): _number(name, value) for name, value in _pairs("metrics", metrics).items()}


def labels_of(labels: object) -> dict[str, str]:
    """Texts by name; numbers, dates, paths and the like as text.

    Raises:
        UsageError: one has no plain text.
    """
    return {
        text_of("label", name): text_of(f"label {name!r}", value) for name, value in _pairs("labels", labels).items()
    }


def activation_of(activation: object) -> Activation:
    """An activation by its name.

    Raises:
        UsageError: there is none of that name.
    """
    try:
        return Activation(str(activation).upper())
    except ValueError:
        known = ", ".join(a.lower() for a in Activation)
        raise UsageError(f"bad activation {_shown(activation)}", hint=f"use one of {known}") from None


def _pairs(what: str, values: Any) -> dict[Any, Any]:
    try:
        return dict(values or {})
    except (TypeError, ValueError):
        raise UsageError(f"{what} are {_shown(values)}", hint=f"write {what}={{name: value}}") from None


def _number(name: object, value: Any) -> float:
    imaginary = isinstance(value, numbers.Complex) and not isinstance(value, numbers.Real)
    try:
        found = float(value) if hasattr(value, "__float__") and not imaginary else math.nan
    except Exception:  # whatever another library's number says to it: an array of many, say
        found = math.nan
    if not math.isfinite(found):
        raise UsageError(f"metric {name!r} is {_shown(value)}", hint="metrics are finite numbers")
    return found


def text_of(what: str, value: Any) -> str:
    """A text, or what has a plain one; ``what`` names it in errors.

    Raises:
        UsageError: it has none, or is too long.
    """
    if not isinstance(value, str) and getattr(value, "ndim", None) == 0 and hasattr(value, "item"):
        value = value.item()  # numpy's and torch's scalars
    match value:
        case str():
            found = str(value)
        case numbers.Number() | uuid.UUID() | PurePath():
            found = str(value)
        case datetime.date() | datetime.time():
            found = value.isoformat()
        case _:
            raise UsageError(f"{what} is {_shown(value)}", hint="text is asked for: str(...) makes one")
    try:
        found.encode()
    except UnicodeEncodeError:
        raise UsageError(f"{what} is {_shown(value)}", hint="it holds half a character: no text") from None
    if len(found) > TEXT_MAX:
        raise UsageError(f"{what} has {len(found)} characters", hint=f"at most {TEXT_MAX}")
    return found


def _shown(value: object) -> str:
    text = f"{value!r} ({type(value).__name__})"
    return text if len(text) <= 80 else f"{text[:60]}… ({type(value).__name__})"
