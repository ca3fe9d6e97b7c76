"""What was made, as it is shown to people and programs (``producers.Addition``)."""

from collections.abc import Sequence
from dataclasses import dataclass

from modelcast.schemas.quantities import size


@dataclass(frozen=True, slots=True)
class DeltaMade:
    """One file's delta, in the store. Base version 0: a compressed whole. ``seconds``: to make and upload it."""

    base_version: int
    path: str
    whole_bytes: int
    size_bytes: int
    seconds: float

    @property
    def ratio(self) -> float:
        """How many times smaller than the whole."""
        return self.whole_bytes / max(self.size_bytes, 1)

    @property
    def files(self) -> int:
        """How many files the delta makes: one."""
        return 1

    def __str__(self) -> str:
        what = f"delta from {self.base_version}" if self.base_version else "compressed whole"
        return f"{self.path}: {what}, {size(self.size_bytes)}, {self.ratio:.1f}× smaller, {self.seconds:.1f} s"


@dataclass(frozen=True, slots=True)
class DeltaOffer:
    """All deltas from one version (0: compressed wholes).

    Attributes:
        files: how many files they make.
        size_bytes: of the deltas.
        whole_bytes: of the files that they make.
        ratio: how many times smaller.
        seconds: to make and upload them.
    """

    base_version: int
    files: int
    size_bytes: int
    whole_bytes: int
    ratio: float
    seconds: float

    def __str__(self) -> str:
        what = f"delta(s) from {self.base_version}" if self.base_version else "compressed whole(s)"
        return f"{self.files} {what}, {size(self.size_bytes)}"


def offered(made: Sequence[DeltaMade]) -> tuple[DeltaOffer, ...]:
    """What was made, by base version, in the order in which it was."""
    by_base: dict[int, list[DeltaMade]] = {}
    for one in made:
        by_base.setdefault(one.base_version, []).append(one)
    found = []
    for base, several in by_base.items():
        made_bytes, whole = sum(m.size_bytes for m in several), sum(m.whole_bytes for m in several)
        ratio, seconds = round(whole / max(made_bytes, 1), 4), sum(m.seconds for m in several)
        found.append(DeltaOffer(base, len(several), made_bytes, whole, ratio, seconds))
    return tuple(found)
