"""What a region should have served at a time, by whom and why: the fold of the entries that the store had. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

from modelcast.schemas.errors import ModelcastError
from modelcast.schemas.log.fold import ModelLog
from modelcast.schemas.records import Entry, ModelUpdate


@dataclass(frozen=True, slots=True)
class AspiredAt:
    """What a region should have served, by the log.

    Attributes:
        version: None: nothing yet.
        generation: of the entry that set it; 0: none.
        since_us: when the store received that entry, UTC microseconds; 0: none.
        kind: ``PUBLISH`` or the command's kind; "" if there is none.
        by: who published or asked.
        why: the reason, or labels.
        held: "pinned" or "paused" or "".
    """

    version: int | None = None
    generation: int = 0
    since_us: int = 0
    kind: str = ""
    by: str = ""
    why: str = ""
    held: str = ""


@dataclass(frozen=True, slots=True)
class StoredEntry:
    """An entry, and when the store received it (its clock, UTC microseconds)."""

    entry: Entry
    received_us: int


def log_at(empty: ModelLog, entries: Mapping[int, StoredEntry], at_us: int) -> ModelLog:
    """The log as it stood at a time.

    Args:
        empty: the model's log without entries.
        entries: by generation, read from the log.
        at_us: UTC microseconds.
    """
    log = empty
    for generation in sorted(entries):
        stored = entries[generation]
        if stored.received_us > at_us:
            break
        try:
            log = log.apply(stored.entry)
        except ModelcastError:  # the log ends there for every reader
            break
    return log


def aspired_at(log: ModelLog, entries: Mapping[int, StoredEntry], region: str) -> AspiredAt:
    """What ``region`` should serve by ``log``; who set it, and why."""
    aspiration = log.aspiration(region)
    version = aspiration.version
    view = log.view(region)
    held = "pinned" if aspiration.pinned else "paused" if aspiration.paused else ""
    activated = max((g for g, v in view.activations if v == version), default=0)
    generation = view.pin_generation if aspiration.pinned else activated
    stored = entries.get(generation or aspiration.generation)
    if stored is None:
        return AspiredAt(version, held=held)
    entry = stored.entry
    if isinstance(entry, ModelUpdate):
        why = " ".join(f"{name}={value}" for name, value in sorted(entry.labels.items()))
        return AspiredAt(version, entry.generation, stored.received_us, "PUBLISH", entry.publisher, why, held)
    kind = entry.kind.value
    return AspiredAt(version, entry.generation, stored.received_us, kind, entry.requested_by, entry.reason, held)
