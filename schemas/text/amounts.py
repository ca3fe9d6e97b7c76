"""A number of pods, or a share of them, as people write it: ``3`` or ``25%``."""

import re
from dataclasses import dataclass

_AMOUNT = re.compile(r"(\d{1,7})(%?)")


@dataclass(frozen=True, slots=True)
class Amount:
    """A number or, with ``percent``, a share of all."""

    value: int
    percent: bool = False

    @classmethod
    def parse(cls, text: object) -> "Amount":
        """What ``3``, ``"3"`` or ``"25%"`` means.

        Raises:
            ValueError: it is none of these; the message says what to write.
        """
        if isinstance(text, Amount):
            return text
        found = None if isinstance(text, bool) else _AMOUNT.fullmatch(str(text).strip())
        if found is None:
            raise ValueError(f'{text!r}: write a number of pods, as 2, or a share of them, as "25%"')
        amount = cls(int(found[1]), bool(found[2]))
        if amount.percent and amount.value > 100:
            raise ValueError(f"{text!r}: no share is more than 100%")
        return amount

    def of(self, count: int) -> int:
        """How many of ``count`` that are; a share is rounded down."""
        return count * self.value // 100 if self.percent else self.value

    def __str__(self) -> str:
        """As it is written."""
        return f"{self.value}%" if self.percent else str(self.value)
