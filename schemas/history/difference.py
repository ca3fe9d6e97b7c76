"""Two versions of a model, side by side: files, bytes, tensors, metrics, labels. Pure."""

from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass
from enum import StrEnum

from modelcast.schemas.manifest import FileEntry, Manifest
from modelcast.schemas.records import ModelUpdate


class Differs(StrEnum):
    """How something of the second version stands to the first."""

    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"
    SAME = "same"


@dataclass(frozen=True, slots=True)
class TensorShape:
    """A tensor as a file's header has it."""

    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class TensorDifference:
    """A tensor that is not the same in type and shape; None: it is not there."""

    file: str
    name: str
    differs: Differs
    before: TensorShape | None
    after: TensorShape | None


@dataclass(frozen=True, slots=True)
class FileDifference:
    """A file; None: it is not there. ``blocks_changed`` counts the 1 MiB blocks of the second that the first lacks."""

    path: str
    differs: Differs
    before_bytes: int | None
    after_bytes: int | None
    blocks_changed: int
    blocks: int


@dataclass(frozen=True, slots=True)
class ValueDifference:
    """A metric or label; None: it is not there."""

    name: str
    before: float | str | None
    after: float | str | None


@dataclass(frozen=True, slots=True)
class VersionDifference:
    """What differs between two versions of a model.

    Attributes:
        model: its name.
        before: the first version.
        after: the second.
        same_bytes: whether all files are the same.
        files: all that differ, by path; the number of others is ``files_same``.
        changed_bytes: size of the files of the second that the first lacks.
        size_bytes: of the second.
        tensors: those that differ in type or shape, where the headers of both could be read.
        tensors_same: how many do not.
        tensors_unread: files that hold tensors and whose headers could not be read, with why.
        metrics: those that differ.
        labels: those that differ.
        framework: (first, second).
        placement: (first, second); empty: all regions.
    """

    model: str
    before: int
    after: int
    same_bytes: bool
    files: tuple[FileDifference, ...]
    files_same: int
    changed_bytes: int
    size_bytes: int
    tensors: tuple[TensorDifference, ...]
    tensors_same: int
    tensors_unread: tuple[str, ...]
    metrics: tuple[ValueDifference, ...]
    labels: tuple[ValueDifference, ...]
    framework: tuple[str, str]
    placement: tuple[tuple[str, ...], tuple[str, ...]]

    @property
    def is_empty(self) -> bool:
        """Whether nothing differs."""
        same_meta = self.framework[0] == self.framework[1] and self.placement[0] == self.placement[1]
        return self.same_bytes and same_meta and not self.metrics and not self.labels


Headers = Mapping[str, Mapping[str, TensorShape]]
"""By file: its tensors by name."""


def version_difference(
    updates: tuple[ModelUpdate, ModelUpdate],
    manifests: tuple[Manifest, Manifest],
    headers: tuple[Headers, Headers] = ({}, {}),
    unread: Iterable[str] = (),
) -> VersionDifference:
    """The second version against the first.

    Args:
        updates: what was published.
        manifests: their files.
        headers: what is known of the tensors of files that differ.
        unread: which headers could not be read, with why.
    """
    (before, after), (old, new) = updates, manifests
    ours, theirs = ({f.path: f for f in each.files} for each in (old, new))
    had = {block for f in old.files for block in f.blocks}
    files = [_file(path, ours.get(path), theirs.get(path), had) for path in sorted(ours | theirs)]
    differing = tuple(each for each in files if each.differs is not Differs.SAME)
    held = {f.digest for f in old.files}
    tensors = [each for path in sorted(headers[0].keys() | headers[1].keys()) for each in _tensors(path, headers)]
    return VersionDifference(
        model=after.model,
        before=before.version,
        after=after.version,
        same_bytes=not differing,
        files=differing,
        files_same=len(files) - len(differing),
        changed_bytes=sum(f.size_bytes for f in new.files if f.digest not in held),
        size_bytes=new.size_bytes,
        tensors=tuple(each for each in tensors if each.differs is not Differs.SAME),
        tensors_same=sum(each.differs is Differs.SAME for each in tensors),
        tensors_unread=tuple(unread),
        metrics=_values(before.metrics, after.metrics),
        labels=_values(before.labels, after.labels),
        framework=(before.artifact.framework, after.artifact.framework),
        placement=(before.placement, after.placement),
    )


def _file(path: str, before: FileEntry | None, after: FileEntry | None, had: Set[str]) -> FileDifference:
    if before is None or after is None:
        differs = Differs.ADDED if before is None else Differs.REMOVED
    else:
        differs = Differs.SAME if before.digest == after.digest else Differs.CHANGED
    blocks = after.blocks if after is not None else ()
    return FileDifference(
        path,
        differs,
        before.size_bytes if before else None,
        after.size_bytes if after else None,
        sum(block not in had for block in blocks),
        len(blocks),
    )


def _tensors(path: str, headers: tuple[Headers, Headers]) -> Iterable[TensorDifference]:
    old, new = (each.get(path, {}) for each in headers)
    for name in sorted(old.keys() | new.keys()):
        before, after = old.get(name), new.get(name)
        if before is None or after is None:
            differs = Differs.ADDED if before is None else Differs.REMOVED
        else:
            differs = Differs.SAME if before == after else Differs.CHANGED
        yield TensorDifference(path, name, differs, before, after)


def _values(before: Mapping[str, float | str], after: Mapping[str, float | str]) -> tuple[ValueDifference, ...]:
    names = sorted(before.keys() | after.keys())
    both = (ValueDifference(name, before.get(name), after.get(name)) for name in names)
    return tuple(each for each in both if each.before != each.after)
