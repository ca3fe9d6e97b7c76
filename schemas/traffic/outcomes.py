"""What came of an answer, as a record on Kafka: a click, a sale, a label that is known weeks later."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ObservedOutcome:
    """One number about one answer, or about one user. It is joined to the version by ``version``, else by ``key``."""

    model: str  # model name
    name: str  # of the outcome, as in a plan's gate: ctr
    value: float  # the number; of a yes or no, 1 or 0
    at_us: int  # when the answer was given, UTC microseconds: that decides which version it was
    id: str  # names it once: one that comes again is not counted again
    version: int | None = None  # which version answered, as the answer's header says; null: not known
    key: str = ""  # who asked, as in the rollout's header or field; empty: not known
    region: str = ""  # where; empty: not known
