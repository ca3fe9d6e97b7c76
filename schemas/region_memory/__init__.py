"""What a region knows of one model for good: the object ``state/<model>`` in the region's own bucket."""

from modelcast.schemas.region_memory.memory import MEMORY_SIZE_MAX, Memory
from modelcast.schemas.region_memory.parts import CandidatePart, Contradiction, Cut, Halt, Held, Quarantine

__all__ = [
    "MEMORY_SIZE_MAX",
    "CandidatePart",
    "Contradiction",
    "Cut",
    "Halt",
    "Held",
    "Memory",
    "Quarantine",
]
