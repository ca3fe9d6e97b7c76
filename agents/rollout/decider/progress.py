"""What a controller has seen of a rollout, as bytes, for the one that takes over.

A line of JSON, and the evidence. It holds durations and no times: two machines need not agree on what time it is.
"""

from dataclasses import dataclass

from modelcast.schemas.errors import DecodeError
from modelcast.schemas.evidence.replay import Evidence, decode_evidence, encode_evidence
from modelcast.schemas.traffic.json_fields import JsonFields, json_bytes

HEAD_SIZE_MAX = 4096


@dataclass(frozen=True, slots=True)
class RolloutProgress:
    """What was seen.

    Attributes:
        rollout: id.
        generation: of the newest entry about it then, whose shares were in force; 0: they were not everywhere.
        seconds_in_force: for which its shares had been in force everywhere.
        met_before: requests that the candidate had answered when they began to be.
        evidence: all of it.
    """

    rollout: str
    generation: int
    seconds_in_force: float
    met_before: int
    evidence: Evidence


def encode_progress(progress: RolloutProgress) -> bytes:
    """RolloutProgress as bytes."""
    head = {
        "rollout": progress.rollout,
        "generation": progress.generation,
        "seconds_in_force": progress.seconds_in_force,
        "met_before": progress.met_before,
    }
    return json_bytes(head) + b"\n" + encode_evidence(progress.evidence)


def decode_progress(data: bytes) -> RolloutProgress:
    """Read what ``encode_progress`` wrote.

    Raises:
        DecodeError: it is none.
    """
    head, newline, rest = data.partition(b"\n")
    if not newline:
        raise DecodeError("not the progress of a rollout", reason="malformed")
    fields = JsonFields.read(head, "the progress of a rollout", size_max=HEAD_SIZE_MAX)
    progress = RolloutProgress(
        rollout=fields.text("rollout"),
        generation=fields.whole("generation"),
        seconds_in_force=fields.number("seconds_in_force"),
        met_before=fields.whole("met_before"),
        evidence=decode_evidence(rest),
    )
    fields.done()
    return progress
