"""What a delta is: read from its index alone."""

from collections.abc import Iterable
from dataclasses import dataclass

from modelcast.deltas.codec.container import Frame, Index, Method, digest_text


@dataclass(frozen=True, slots=True)
class MethodShare:
    """How much of the new file one method makes, and what that takes in the delta. Sizes in bytes."""

    method: str
    frames: int
    new_bytes: int
    delta_bytes: int


@dataclass(frozen=True, slots=True)
class DeltaInfo:
    """One delta.

    Attributes:
        kind: ``file`` or ``folder``.
        base_digest: what it must be applied to, or "" where it needs nothing.
        new_digest: what it makes. Of a folder: the tree digest (FORMAT.md).
        files: how many files it makes.
        files_unchanged: how many of them the base has already.
    """

    kind: str
    base_digest: str
    base_size_bytes: int
    new_digest: str
    new_size_bytes: int
    delta_size_bytes: int
    files: int
    files_unchanged: int
    methods: tuple[MethodShare, ...]

    @property
    def ratio(self) -> float:
        """How many times smaller than the whole."""
        return self.new_size_bytes / max(self.delta_size_bytes, 1)


def shares_of(frames: Iterable[Frame]) -> tuple[MethodShare, ...]:
    """What each method does."""
    totals = {m: [0, 0, 0] for m in Method}
    for frame in frames:
        total = totals[frame.method]
        total[0], total[1], total[2] = total[0] + 1, total[1] + frame.new_size, total[2] + frame.size
    return tuple(MethodShare(m.name.lower(), *t) for m, t in totals.items() if t[0])


def info_of(index: Index, delta_size: int) -> DeltaInfo:
    """The view of one file's delta."""
    header = index.header
    return DeltaInfo(
        kind="file",
        base_digest=digest_text(header.base_digest) if header.base_digest is not None else "",
        base_size_bytes=header.base_size,
        new_digest=digest_text(header.new_digest),
        new_size_bytes=header.new_size,
        delta_size_bytes=delta_size,
        files=1,
        files_unchanged=int(header.base_digest == header.new_digest),
        methods=shares_of(index.frames),
    )
