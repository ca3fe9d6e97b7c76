"""The same rules in a faster world, so that what takes minutes can be waited for in a test. Pure."""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import yaml

_RANGE = re.compile(r"\[(\w+)(?::(\w+))?\]")
_PRODUCT = re.compile(r"\b(\d+) \* (60|3600|86400)\b")
_OFFSET = re.compile(r"\boffset (\w+)")
_UNITS_MS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


def scaled(rules: str, factor: float, others: Mapping[str, float] = MappingProxyType({})) -> str:
    """A rules file whose ``for``, ``keep_firing_for``, ``interval`` and windows are ``factor`` times as long.

    So are times in expressions, which are written as products: `5 * 60`. Everything else stays what it is.
    ``others``: the factors of single alerts.
    """
    file = yaml.safe_load(rules)
    for group in file["groups"]:
        _scale(group, factor, "interval")
        for rule in group["rules"]:
            _scale_rule(rule, others.get(rule.get("alert", ""), factor))
    return yaml.safe_dump(file, sort_keys=False, width=1000)


def _scale_rule(rule: dict[str, Any], factor: float) -> None:
    _scale(rule, factor, "for", "keep_firing_for")
    expr = _RANGE.sub(lambda found: _range(found, factor), rule["expr"])
    expr = _PRODUCT.sub(lambda found: f"{int(found[1]) * factor:.6f} * {found[2]}", expr)
    rule["expr"] = _OFFSET.sub(lambda found: f"offset {_duration(found[1], factor)}", expr)


def _scale(what: dict[str, Any], factor: float, *names: str) -> None:
    for name in names:
        if name in what:
            what[name] = _duration(what[name], factor)


def _range(found: re.Match[str], factor: float) -> str:
    return "[" + ":".join(_duration(each, factor) for each in found.groups() if each) + "]"


def _duration(text: str, factor: float) -> str:
    return f"{max(1, round(int(text[:-1]) * _UNITS_MS[text[-1]] * factor))}ms"
