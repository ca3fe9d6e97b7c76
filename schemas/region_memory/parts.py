"""The values that a region's memory of a model consists of."""

from dataclasses import dataclass

from modelcast.schemas.records import ModelUpdate


@dataclass(frozen=True, slots=True)
class Held:
    """One version that the region holds (``staged``) or serves (``served``), and the generation that asked for it."""

    generation: int
    version: int
    manifest_digest: str
    manifest_key: str
    size_bytes: int

    @classmethod
    def of(cls, update: ModelUpdate, generation: int) -> "Held":
        """What ``update`` published, as asked for by ``generation``."""
        artifact = update.artifact
        return cls(generation, update.version, artifact.manifest_digest, artifact.manifest_key, artifact.size_bytes)


@dataclass(frozen=True, slots=True)
class Quarantine:
    """Bytes that this region refuses until a person releases the version (a RELEASE above ``generation``)."""

    manifest_digest: str
    version: int
    generation: int
    reason: str


@dataclass(frozen=True, slots=True)
class Contradiction:
    """The store does not hold what this region had read of the log up to ``generation``.

    Attributes:
        generation: the highest that was read; 0: nothing was.
        digest: the running digest of the log up to it, as it was read; "": nothing was.
        reason: for people.
    """

    generation: int
    digest: str
    reason: str


@dataclass(frozen=True, slots=True)
class Halt:
    """The rollover of ``generation`` was stopped, and why, for people."""

    generation: int
    reason: str


@dataclass(frozen=True, slots=True)
class CandidatePart:
    """What is known for good of a rollout's candidate, loaded beside what serves; the fields are ``Memory``'s."""

    accepted_generation: int = 0
    accepted_digest: str = ""
    staged: Held | None = None
    served: Held | None = None
    quarantined: tuple[Quarantine, ...] = ()
    halt: Halt | None = None


@dataclass(frozen=True, slots=True)
class Cut:
    """The region has taken a candidate out of its pods' traffic, by its own evidence.

    Attributes:
        rollout: of which one.
        generation: how far the log had been read; only a newer entry that starts or resumes a rollout ends the cut.
        since_us: when the entry was written that had the rollout run (or hold) then: to resume it is a later one.
        manifest_digest: the candidate's.
        reason: for people.
        at_us: when, region's clock.
    """

    rollout: str
    generation: int
    since_us: int
    manifest_digest: str
    reason: str
    at_us: int
