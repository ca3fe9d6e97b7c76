"""A log entry in a few words: who did what, when and why."""

from dataclasses import dataclass

from modelcast.schemas.records import ALL_REGIONS, Entry, ModelUpdate


@dataclass(frozen=True, slots=True)
class EntryLine:
    """One entry of a model's log.

    Attributes:
        model: whose log.
        generation: its number there.
        kind: ``PUBLISH`` or the command's kind.
        version: what it is about; None: no version.
        regions: which regions it names; none: all.
        by: who published or asked; may come from strangers.
        why: the reason that was given, or labels; may come from strangers.
        at_us: when Kafka or the store received it, UTC microseconds.
    """

    model: str
    generation: int
    kind: str
    version: int | None
    regions: tuple[str, ...]
    by: str
    why: str
    at_us: int


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
