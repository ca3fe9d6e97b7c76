"""Which old file each new one is best made of: by bytes, path, tensors, and by likeness where it was renamed. Pure."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from modelcast.deltas.pairing.renamed import renamed

HOLDERS_MAX = 16
"""A name that more old files than this have tells none of them apart."""


@dataclass(frozen=True, slots=True)
class FileTensors:
    """A file as far as it takes part in the matching.

    Attributes:
        size_bytes: of the file.
        digest: of the file.
        tensors: bytes of each of its tensors, by name; None: it is not known what it holds.
    """

    size_bytes: int
    digest: str
    tensors: Mapping[str, int] | None = None


def partners(new: Mapping[str, FileTensors], old: Mapping[str, FileTensors]) -> dict[str, str]:
    """The path of the old file that each new one comes from, by its path; left out: what comes from nowhere.

    The same bytes; else the file of its path, unless that holds none of its tensors and another one most of them
    (weights that moved into a model, or out of it); else the one that holds most of its tensors; else of those
    that vanished the likest by kind, size and name. Empty files are the origin of none, except as the same bytes.
    """
    by_digest = {file.digest: path for path, file in reversed(list(old.items()))}
    by_tensors = _Holders(old)
    found: dict[str, str] = {}
    taken: set[str] = set()
    for path, file in new.items():
        own = old.get(path)
        if own is not None and own.digest == file.digest:
            found[path] = path
        elif file.digest in by_digest:
            found[path] = by_digest[file.digest]
        elif own is not None and own.size_bytes and not _strange(file, own):
            found[path] = path
        elif (best := by_tensors.of(file)) is not None:
            found[path] = best
            taken.add(best)
        elif own is not None and own.size_bytes:
            found[path] = path
    gone = {path: f.size_bytes for path, f in old.items() if path not in new and path not in taken}
    came = {path: f.size_bytes for path, f in new.items() if path not in found}
    return found | renamed(came, gone)


def _strange(new: FileTensors, old: FileTensors) -> bool:
    """Whether they are known to have no tensor in common."""
    return bool(new.tensors) and old.tensors is not None and old.tensors.keys().isdisjoint(new.tensors or ())


class _Holders:
    """Old files by the tensors that they hold."""

    def __init__(self, old: Mapping[str, FileTensors]) -> None:
        self._by_name: defaultdict[str, list[tuple[str, int]]] = defaultdict(list)
        for path, file in old.items():
            for name, size in (file.tensors or {}).items():
                self._by_name[name].append((path, size))

    def of(self, new: FileTensors) -> str | None:
        """The one that holds most of a file's tensors, and at least half of their bytes; None if two are equal."""
        shared: Counter[str] = Counter()
        for name, size in (new.tensors or {}).items():
            holders = self._by_name.get(name, [])
            if len(holders) <= HOLDERS_MAX:
                shared.update({path: min(size, held) for path, held in holders})
        first, *others = shared.most_common(2) or [("", 0)]
        enough = 2 * first[1] >= sum((new.tensors or {}).values()) > 0
        return first[0] if enough and all(o[1] < first[1] for o in others) else None
