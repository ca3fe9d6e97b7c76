"""A log entry in a few words: who did what, when and why; and whether it follows the entries below it."""

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from modelcast.schemas.digests import sha256_of, short
from modelcast.schemas.log.chain import StatedEntry, chain, origin_digest
from modelcast.schemas.records import ALL_REGIONS, Entry, ModelUpdate

HEAD_SECONDS = 10.0
"""How long the tracker has to read an entry that was announced."""
CHANGED = "one of the two was changed after it was written, or is made up"


@dataclass(frozen=True, slots=True)
class EntryLine:
    """One entry of a model's log.

    Attributes:
        model: whose log.
        generation: its number there.
        kind: ``PUBLISH`` or the command's kind; ``UNREADABLE`` if it can't be read.
        version: what it is about; None: no version.
        regions: which regions it names; none: all.
        by: who published or asked; may come from strangers.
        why: the reason that was given, or labels; may come from strangers.
        at_us: when Kafka or the store received it, UTC microseconds.
        trouble: why it is not, or not proved to be, in the log, for people; "": nothing speaks against it.
        id: of its bytes: two entries may claim one generation.
    """

    model: str
    generation: int
    kind: str
    version: int | None
    regions: tuple[str, ...]
    by: str
    why: str
    at_us: int
    trouble: str = ""
    id: str = ""


def entry_line(entry: Entry, at_us: int) -> EntryLine:
    """The entry as it is shown."""
    if isinstance(entry, ModelUpdate):
        why = ", ".join(f"{name}={value}" for name, value in sorted(entry.labels.items()))
        return EntryLine(
            entry.model,
            entry.generation,
            "PUBLISH",
            entry.version,
            tuple(entry.placement),
            entry.publisher,
            why[:300],
            at_us,
        )
    versions = {target.version for target in entry.targets}
    return EntryLine(
        entry.model,
        entry.generation,
        entry.kind.value,
        versions.pop() if len(versions) == 1 else None,
        tuple(target.region for target in entry.targets if target.region != ALL_REGIONS),
        entry.requested_by,
        (f"{entry.alias}: " if entry.alias else "") + entry.reason[:300],
        at_us,
    )


def unreadable_line(model: str, generation: int, why: str) -> EntryLine:
    """What is shown where no entry can be read."""
    return EntryLine(model, generation, "UNREADABLE", None, (), "", "", 0, why, f"{generation}")


def linked(below: StatedEntry | None, stated: StatedEntry) -> str:
    """Why an entry does not follow the one below it, for people; "" if it does.

    Args:
        below: the entry of the generation below; None: it is not known. Of the first generation, the log's origin is.
        stated: the entry.
    """
    entry = stated.entry
    if entry.generation == 1:
        expected, what = origin_digest(entry.registry_id, entry.model), "the beginning of this model's log"
    elif below is not None:
        expected, what = chain(below.log_digest, below.body), f"generation {entry.generation - 1}"
    else:
        return ""
    if stated.log_digest == expected:
        return ""
    return f"it follows a log with the digest {short(stated.log_digest)}, but {what} has {short(expected)}: {CHANGED}"


def line_of(stated: StatedEntry, at_us: int, trouble: str) -> EntryLine:
    """A stated entry as it is shown."""
    return replace(entry_line(stated.entry, at_us), trouble=trouble, id=sha256_of(stated.body)[7:19])


class Announced:
    """The newest entries that were announced. Everybody who can write to the topic can make one up, so each is
    compared with its neighbours, and with where the log ends as the tracker has read it.

    Args:
        kept: how many.
    """

    def __init__(self, kept: int) -> None:
        self._kept = kept
        self._stated: dict[tuple[str, int], list[StatedEntry]] = {}
        self.lines: deque[EntryLine] = deque()

    def take(self, stated: StatedEntry, at_us: int) -> EntryLine | None:
        """The line of an entry; None: it was announced before."""
        model, generation = stated.entry.model, stated.entry.generation
        same = self._stated.setdefault((model, generation), [])
        if any(other.body == stated.body for other in same):
            return None
        line = line_of(stated, at_us, self._trouble(stated, bool(same)))
        same.append(stated)
        self.lines.append(line)
        while len(self.lines) > self._kept:
            gone = self.lines.popleft()
            self._stated.pop((gone.model, gone.generation), None)
        return line

    def _trouble(self, stated: StatedEntry, contradicts: bool) -> str:
        entry = stated.entry
        below = self._stated.get((entry.model, entry.generation - 1), [])
        why = [linked(other, stated) for other in below] or [linked(None, stated)]
        if all(why):
            return why[0]
        above = self._stated.get((entry.model, entry.generation + 1), [])
        if above and all(linked(stated, other) for other in above):
            return f"generation {entry.generation + 1} does not follow it: {CHANGED}"
        return f"another entry was announced as generation {entry.generation}" if contradicts else ""

    def compare(self, heads: Mapping[str, int], now_us: int) -> list[EntryLine]:
        """Compare the lines with where logs end, by model; return the lines that changed."""
        changed = []
        for number, line in enumerate(self.lines):
            missing = _missing(line, heads.get(line.model), now_us)
            is_noted = line.trouble.startswith(NOT_THERE)
            if (missing and not line.trouble) or (is_noted and line.trouble != missing):
                self.lines[number] = replace(line, trouble=missing)
                changed.append(self.lines[number])
        return changed


NOT_THERE = "it is not in the log"


def _missing(line: EntryLine, head: int | None, now_us: int) -> str:
    if (head is not None and line.generation <= head) or now_us - line.at_us < HEAD_SECONDS * 1_000_000:
        return ""
    ends = f"which ends at generation {head}" if head is not None else "as the tracker knows no such model"
    return f"{NOT_THERE}, {ends}"


def chained(found: Iterable[tuple[StatedEntry, int] | EntryLine]) -> list[EntryLine]:
    """Entries of one log as they are shown, from the oldest: (entry, when the store received it), or what could not be
    read; each is compared with the one below it."""
    lines: list[EntryLine] = []
    below: StatedEntry | None = None
    for each in found:
        if isinstance(each, EntryLine):
            lines.append(each)
            below = None
            continue
        stated, at_us = each
        lines.append(line_of(stated, at_us, linked(below, stated)))
        below = stated
    return lines
