"""What callers hand in, as training code has it: numbers and texts of other libraries, one region or several.

What can be converted without a doubt is; anything else is refused before a file is read.
"""

import datetime
import math
import numbers
import uuid
from collections.abc import Iterable, Mapping
from pathlib import PurePath
from typing import Any, cast

from modelcast.schemas.errors import UsageError
from modelcast.schemas.log.verbs import RULES
from modelcast.schemas.names import brief, check_region
from modelcast.schemas.records import Activation, CommandKind

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
    try:
        names = None if isinstance(regions, bytes | Mapping) else list(cast("Iterable[str]", regions))
    except Exception:  # no iterable, or one that fails: whatever another library's value says to it
        names = None
    if names is None:
        raise UsageError(f"regions are {value_and_type(regions)}", hint='write "eu" or ["eu", "us"]')
    return tuple(check_region(name) for name in names)


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
        text_of("label", name): text_of(f"label {brief(name)}", value)
        for name, value in _pairs("labels", labels).items()
    }


def activation_of(activation: object) -> Activation:
    """An activation by its name.

    Raises:
        UsageError: there is none of that name.
    """
    try:
        return Activation(str(activation).upper())
    except Exception:  # whatever another library's value says to it
        known = ", ".join(a.lower() for a in Activation)
        raise UsageError(f"bad activation {value_and_type(activation)}", hint=f"use one of {known}") from None


def verb_of(verb: object) -> CommandKind:
    """A verb by its name, as in ``pin``; those that stand alone are said by ``Acceptor`` and ``RolloutCommander``.

    Raises:
        UsageError: there is none of that name.
    """
    known = [kind for kind, rule in RULES.items() if not rule.stands_alone]
    for kind in known:
        if isinstance(verb, str) and verb.upper() == kind:
            return kind
    raise UsageError(f"bad verb {value_and_type(verb)}", hint=f"use one of {', '.join(k.lower() for k in known)}")


def number_of_seconds(what: str, value: Any) -> float:
    """A number of seconds, 0 or more; ``what`` names it in errors.

    Raises:
        UsageError: it is none.
    """
    try:
        found = math.nan if isinstance(value, str | bool) else float(value)
    except Exception:  # whatever another library's value says to it
        found = math.nan
    if not found >= 0:  # also: not a number
        raise UsageError(f"{what} is {value_and_type(value)}", hint="write a number of seconds, as in 300")
    return found


def switch_of(what: str, value: object) -> bool:
    """True or False, also numpy's; ``what`` names it in errors. A text is none: "no" would count as true.

    Raises:
        UsageError: it is neither.
    """
    found = value.item() if getattr(value, "ndim", None) == 0 and hasattr(value, "item") else value
    if not isinstance(found, bool):
        raise UsageError(f"{what} is {value_and_type(value)}", hint="write True or False")
    return found


def patterns_of(what: str, value: object) -> tuple[str, ...]:
    """Patterns of names; a text is one. ``what`` names it in errors.

    Raises:
        UsageError: they are no texts.
    """
    if isinstance(value, str):
        return (text_of(what, value),)
    if not isinstance(value, list | tuple | set | frozenset):
        raise UsageError(f"{what} is {value_and_type(value)}", hint='write "*.plan" or ["*.plan", "vocabulary.bin"]')
    return tuple(text_of(what, each) for each in value)


def _pairs(what: str, values: Any) -> dict[Any, Any]:
    try:
        return dict(values or {})
    except (TypeError, ValueError):
        raise UsageError(f"{what} are {value_and_type(values)}", hint=f"write {what}={{name: value}}") from None


def _number(name: object, value: Any) -> float:
    imaginary = isinstance(value, numbers.Complex) and not isinstance(value, numbers.Real)
    try:
        found = float(value) if hasattr(value, "__float__") and not imaginary else math.nan
    except Exception:  # whatever another library's number says to it: an array of many, say
        found = math.nan
    if not math.isfinite(found):
        raise UsageError(f"metric {brief(name)} is {value_and_type(value)}", hint="metrics are finite numbers")
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
            try:
                found = str(value)
            except Exception:  # a whole number of too many digits, or what another library's value says to it
                raise UsageError(f"{what} is {value_and_type(value)}", hint="a shorter text is asked for") from None
        case datetime.date() | datetime.time():
            found = value.isoformat()
        case _:
            raise UsageError(f"{what} is {value_and_type(value)}", hint="text is asked for: str(...) makes one")
    try:
        found.encode()
    except UnicodeEncodeError:
        raise UsageError(f"{what} is {value_and_type(value)}", hint="it holds half a character: no text") from None
    if "\0" in found:
        raise UsageError(f"{what} is {value_and_type(value)}", hint="it holds a NUL character: leave it out")
    if len(found) > TEXT_MAX:
        raise UsageError(f"{what} has {len(found)} characters", hint=f"at most {TEXT_MAX}")
    return found


def value_and_type(value: object) -> str:
    """A value and its type, in a few words, whatever it is."""
    text, kind = brief(value), type(value).__name__
    return f"{text if len(text) + len(kind) <= 77 else text[:60] + '…'} ({kind})"
