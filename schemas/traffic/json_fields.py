"""Fields of decoded JSON, each of the type and size that it must have."""

import json
from collections.abc import Mapping
from typing import Any

from modelcast.schemas.errors import DecodeError

TEXT_MAX = 256


class JsonFields:
    """The fields of one JSON object. What is asked for is taken away, so that ``done`` finds what is not known.

    Args:
        value: what was decoded.
        what: it should be, for errors.

    Raises:
        DecodeError (every method): a field is missing or not what it must be.
    """

    def __init__(self, value: object, what: str) -> None:
        if not isinstance(value, dict):
            raise DecodeError(f"not {what}: {type(value).__name__}", reason="bad-value")
        self._fields: dict[str, Any] = dict(value)
        self._what = what

    @classmethod
    def read(cls, data: bytes, what: str, *, size_max: int) -> "JsonFields":
        """The object that these bytes hold."""
        if len(data) > size_max:
            raise DecodeError(f"{what} of {len(data)} bytes", reason="too-large", hint=f"at most {size_max}")
        try:
            value = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise DecodeError(f"not {what}: {str(error)[:200]}", reason="malformed") from None
        return cls(value, what)

    def text(self, name: str, default: str | None = None, *, empty: bool = False, chars_max: int = TEXT_MAX) -> str:
        """A text in one line."""
        value = self._take(name, default)
        if not isinstance(value, str) or len(value) > chars_max or (value and not value.isprintable()):
            raise self._bad(name, value, f"a text of at most {chars_max} printable characters")
        if not value and not empty:
            raise self._bad(name, value, "a text that is not empty")
        return value

    def whole(self, name: str, default: int | None = None, *, low: int = 0, high: int = 2**63 - 1) -> int:
        """A whole number from ``low`` to ``high``."""
        value = self._take(name, default)
        if type(value) is not int or not low <= value <= high:
            raise self._bad(name, value, f"a whole number from {low} to {high}")
        return value

    def number(self, name: str, default: float | None = None, *, low: float = 0.0, high: float = 1e12) -> float:
        """A number from ``low`` to ``high``."""
        value = self._take(name, default)
        if type(value) not in {int, float} or not low <= value <= high:  # also: not a number
            raise self._bad(name, value, f"a number from {low:g} to {high:g}")
        return float(value)

    def switch(self, name: str, default: bool | None = None) -> bool:
        """True or false."""
        value = self._take(name, default)
        if not isinstance(value, bool):
            raise self._bad(name, value, "true or false")
        return value

    def items(self, name: str, *, count_max: int) -> list[Any]:
        """A list; a missing one is empty."""
        value = self._take(name, [])
        if not isinstance(value, list) or len(value) > count_max:
            raise self._bad(name, value, f"a list of at most {count_max}")
        return value

    def nested(self, name: str) -> "JsonFields | None":
        """An object in it; None if there is none."""
        value = self._take(name, {})
        return JsonFields(value, f"{name} of {self._what}") if value not in ({}, None) else None

    def done(self) -> None:
        """Refuse fields that nobody asked for: what is ignored silently would be believed to be in force."""
        if self._fields:
            raise DecodeError(
                f"{self._what} has unknown fields: {', '.join(sorted(self._fields))[:200]}", reason="bad-value"
            )

    def _take(self, name: str, default: object) -> Any:
        return self._fields.pop(name, default)

    def _bad(self, name: str, value: object, rule: str) -> DecodeError:
        found = "is missing" if value is None else f"is {value!r}"[:120]
        return DecodeError(f"{self._what}: {name} {found}, not {rule}", reason="bad-value")


def json_bytes(fields: Mapping[str, object]) -> bytes:
    """JSON in one line, the same bytes for the same fields."""
    return json.dumps(fields, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()
