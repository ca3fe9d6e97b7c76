"""What a region knows of one model for good: the object ``state/<model>`` in the region's own bucket.

It is written with conditional puts only and never goes back: the holder of the highest ``epoch`` owns the model,
and ``accepted_generation`` never falls. A pod can start from it without Kafka and without the origin.
"""

from dataclasses import asdict, dataclass, replace
from typing import Any

import orjson

from modelcast.schemas.errors import ContentError
from modelcast.schemas.records import LogPosition
from modelcast.schemas.region_memory.parts import CandidatePart, Contradiction, Cut, Halt, Held, Quarantine

MEMORY_SIZE_MAX = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Memory:
    """One model in one region. ``epoch`` 0: it was never owned."""

    registry_id: str
    model: str
    region: str
    epoch: int = 0
    owner: str = ""
    accepted_generation: int = 0
    accepted_digest: str = ""  # the running digest of the log up to ``accepted_generation``
    staged: Held | None = None
    served: Held | None = None
    quarantined: tuple[Quarantine, ...] = ()
    served_quarantined: int = 0  # the log's entry by which no pod may load ``served`` any more; 0: none
    log_quarantined: tuple[int, ...] = ()  # versions that the log quarantines: no pod loads them, whatever it served
    contradiction: Contradiction | None = None  # stays until the log, read from entry 1, agrees with it again
    halt: Halt | None = None  # no pod is moved to this generation any more; a higher one ends it
    candidate: CandidatePart | None = None  # of a rollout; None: there is none, and nothing of one is left
    cut: Cut | None = None  # no request reaches this candidate before a newer word of the log

    def claimed_by(self, worker: str) -> "Memory":
        """The memory with which ``worker`` takes over."""
        return replace(self, epoch=self.epoch + 1, owner=worker)

    def of_candidate(self) -> "Memory":
        """The candidate's part as a memory of its own, under the same owner and epoch."""
        part = self.candidate or CandidatePart()
        return Memory(
            self.registry_id, self.model, self.region, self.epoch, self.owner,
            part.accepted_generation, part.accepted_digest, part.staged, part.served, part.quarantined, halt=part.halt,
        )  # fmt: skip

    @property
    def as_candidate(self) -> CandidatePart:
        """What ``of_candidate`` was made of."""
        return CandidatePart(
            self.accepted_generation, self.accepted_digest, self.staged, self.served, self.quarantined, self.halt
        )

    @property
    def digests_kept(self) -> frozenset[str]:
        """Manifest digests that must not leave the region's disks: what is staged or served, the candidate's too."""
        parts = (self, self.candidate) if self.candidate else (self,)
        return frozenset(held.manifest_digest for part in parts for held in (part.staged, part.served) if held)

    @property
    def positions(self) -> tuple[LogPosition, ...]:
        """What a log must hold, or have given up by a person's ACCEPT, before the region obeys it."""
        known = [(self.accepted_generation, self.accepted_digest)]
        if self.candidate is not None:  # pods may have a table of its generation
            known.append((self.candidate.accepted_generation, self.candidate.accepted_digest))
        if self.contradiction is not None:
            known.append((self.contradiction.generation, self.contradiction.digest))
        return tuple(LogPosition(generation, digest) for generation, digest in known if generation)

    @property
    def refusal(self) -> str:
        """Why no pod may load what was served last, for people; "": it may."""
        if self.served is None or not self.served_quarantined:
            return ""
        reference = f"{self.model}/{self.served.version}"
        return f"{reference} is quarantined (generation {self.served_quarantined}): modelcast release {reference}"

    def encode(self) -> bytes:
        """The memory as JSON."""
        return orjson.dumps({"format": 1, **asdict(self)}, option=orjson.OPT_SORT_KEYS)

    @classmethod
    def decode(cls, data: bytes, *, key: str = "") -> "Memory":
        """Read what ``encode`` wrote.

        Raises:
            ContentError: damaged, or written by a newer modelcast. The region must not act as if it knew nothing.
        """
        try:
            body = orjson.loads(data)
            if body.pop("format") != 1:
                raise ValueError("unknown format")
            staged, served, found = body.pop("staged"), body.pop("served"), body.pop("contradiction")
            halt, candidate, cut = body.pop("halt"), body.pop("candidate"), body.pop("cut")
            quarantined = tuple(Quarantine(**q) for q in body.pop("quarantined"))
            log_quarantined = tuple(body.pop("log_quarantined"))
            return cls(
                **body,
                log_quarantined=log_quarantined,
                staged=Held(**staged) if staged else None,
                served=Held(**served) if served else None,
                quarantined=quarantined,
                contradiction=Contradiction(**found) if found else None,
                halt=Halt(**halt) if halt else None,
                candidate=_candidate(candidate) if candidate else None,
                cut=Cut(**cut) if cut else None,
            )
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise ContentError(
                f"the region's state of a model is damaged: {error}",
                subject=key,
                hint="restore the object from the bucket's history; remove it only if every pod was cleared too",
            ) from None


def _candidate(body: dict[str, Any]) -> CandidatePart:
    staged, served, halt = body.pop("staged"), body.pop("served"), body.pop("halt")
    return CandidatePart(
        **body | {"quarantined": tuple(Quarantine(**q) for q in body.pop("quarantined"))},
        staged=Held(**staged) if staged else None,
        served=Held(**served) if served else None,
        halt=Halt(**halt) if halt else None,
    )
