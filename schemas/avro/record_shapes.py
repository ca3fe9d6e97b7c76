"""Between the frozen records and the plain dicts that the Avro library reads and writes."""

from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass, make_dataclass
from enum import StrEnum
from operator import itemgetter
from types import NoneType, UnionType
from typing import Any, cast, get_args, get_origin, get_type_hints

Turn = Callable[[Any], Any]
"""From one form of a value to the other. None in the tables below: both forms are the same."""


def to_plain(record: object) -> dict[str, Any]:
    """A record as a dict of what Avro knows: str, int, float, bool, bytes, None, list, dict."""
    return cast(dict[str, Any], _plain_of(type(record))(record))


def from_plain(cls: type, plain: dict[str, Any]) -> Any:
    """A record of class ``cls`` from a dict that holds each of its fields. The dict is used up.

    Raises:
        ValueError: an enum's value is none of its members.
    """
    return _record_of(cls)(plain)


_to_plain: dict[type, Turn] = {}
_from_plain: dict[type, Turn] = {}


def _plain_of(cls: type) -> Turn:
    if cls not in _to_plain:
        _to_plain[cls] = _compile_plain(cls)
    return _to_plain[cls]


def _record_of(cls: type) -> Turn:
    if cls not in _from_plain:
        _from_plain[cls] = _compile_record(cls)
    return _from_plain[cls]


def _compile_plain(cls: type) -> Turn:
    names = tuple(f.name for f in fields(cls))
    hints = get_type_hints(cls)
    turns = [(name, turn) for name in names if (turn := _to_plain_turn(hints[name])) is not None]

    def plain(record: object) -> dict[str, Any]:
        values = {name: getattr(record, name) for name in names}
        for name, turn in turns:
            values[name] = turn(values[name])
        return values

    return plain


def _compile_record(cls: type) -> Turn:
    hints = get_type_hints(cls)
    turns = [(f.name, turn) for f in fields(cls) if (turn := _from_plain_turn(hints[f.name])) is not None]
    names = tuple(f.name for f in fields(cls))
    in_order = itemgetter(*names)
    # A frozen class sets each field through a call, and a snapshot holds a thousand pods: its mutable twin, of the same
    # slots, is made in a third of the time, and becomes one of ``cls``.
    twin: Any = make_dataclass(cls.__name__, names, slots=True, eq=False, repr=False)

    def record(values: dict[str, Any]) -> Any:
        for name, turn in turns:
            values[name] = turn(values[name])
        made = twin(*in_order(values))
        made.__class__ = cls
        return made

    return record


def _to_plain_turn(hint: Any) -> Turn | None:
    inner = _optional(hint)
    if inner is not None:
        turn = _to_plain_turn(inner)
        return None if turn is None else lambda value: None if value is None else turn(value)
    if get_origin(hint) is tuple:
        item = _to_plain_turn(get_args(hint)[0])
        return list if item is None else lambda values: [item(value) for value in values]
    if get_origin(hint) is Mapping:
        return dict
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        return str
    return _plain_of(hint) if isinstance(hint, type) and is_dataclass(hint) else None


def _from_plain_turn(hint: Any) -> Turn | None:
    inner = _optional(hint)
    if inner is not None:
        turn = _from_plain_turn(inner)
        return None if turn is None else lambda value: None if value is None else turn(value)
    if get_origin(hint) is tuple:
        item = _from_plain_turn(get_args(hint)[0])
        return tuple if item is None else lambda values: tuple([item(value) for value in values])
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        return _member_of(hint)
    if get_origin(hint) is Mapping:
        return dict  # a copy: a default value belongs to the schema
    return _record_of(hint) if isinstance(hint, type) and is_dataclass(hint) else None


def _member_of(cls: type[StrEnum]) -> Turn:
    members = {member.value: member for member in cls}

    def member(value: str) -> StrEnum:
        try:
            return members[value]
        except KeyError:
            raise ValueError(f"{value[:80]!r} is no {cls.__name__}") from None

    return member


def _optional(hint: Any) -> Any:
    """X of ``X | None``, else None."""
    if get_origin(hint) is not UnionType:
        return None
    others = [arg for arg in get_args(hint) if arg is not NoneType]
    return others[0] if len(others) == 1 else None
