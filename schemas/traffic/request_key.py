"""What of a request says who asks, so that the same user always meets the same version."""

import re
from dataclasses import dataclass
from enum import StrEnum

from modelcast.schemas.errors import UsageError

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")


class KeySource(StrEnum):
    """Where the key stands."""

    RANDOM = "random"  # nowhere: each request is drawn by itself
    HEADER = "header"
    FIELD = "field"  # of the request's body, at its top or in its ``parameters``


@dataclass(frozen=True, slots=True)
class RequestKey:
    """A request without the key's header or field is drawn by itself, as with RANDOM.

    Attributes:
        source: where it stands.
        name: of the header, in lower case, or of the field; "" for RANDOM.

    Raises:
        UsageError: the name is none.
    """

    source: KeySource = KeySource.RANDOM
    name: str = ""

    def __post_init__(self) -> None:
        named = bool(_NAME.fullmatch(self.name)) if self.source is not KeySource.RANDOM else not self.name
        if not named or (self.source is KeySource.HEADER and self.name != self.name.lower()):
            raise _bad(str(self))

    def __str__(self) -> str:
        return str(self.source) if self.source is KeySource.RANDOM else f"{self.source}:{self.name}"

    @classmethod
    def parse(cls, text: str) -> "RequestKey":
        """Read ``header:x-user``, ``field:user_id``, or ``random`` (also "").

        Raises:
            UsageError: it is none of these.
        """
        if text in {"", KeySource.RANDOM}:
            return cls()
        source, _, name = text.partition(":")
        if source == KeySource.HEADER:
            return cls(KeySource.HEADER, name.lower())
        if source == KeySource.FIELD:
            return cls(KeySource.FIELD, name)
        raise _bad(text)


AT_RANDOM = RequestKey()


def key_bytes(value: object) -> bytes | None:
    """The key that a field of a request holds: of a text its UTF-8, of a whole number its digits, of a list of one its
    item's; None for anything else, which names nobody."""
    if isinstance(value, list) and len(value) == 1:
        return key_bytes(value[0]) if not isinstance(value[0], list) else None
    if isinstance(value, str):
        return value.encode("utf-8", "surrogatepass") or None
    if isinstance(value, int) and not isinstance(value, bool):
        return b"%d" % value if abs(value) < 1 << 64 else None
    return None


def _bad(text: str) -> UsageError:
    return UsageError(f"bad key {text[:160]!r}", subject="rollout plan", hint="write header:NAME, field:NAME or random")
