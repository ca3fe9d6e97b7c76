"""What one model's log says of one region: the value that entries change."""

from dataclasses import dataclass, replace

HISTORY_KEPT = 64


@dataclass(frozen=True, slots=True)
class RegionView:
    """What the log says of one region. Each field remembers the generation that set it."""

    generation: int = 0  # the last entry that touched this region; what its aspiration is known by
    activations: tuple[tuple[int, int], ...] = ()  # (generation, version), oldest first, the last HISTORY_KEPT
    pinned_version: int | None = None
    pin_generation: int = 0
    paused_version: int | None = None  # what it aspired to when it was paused
    paused: bool = False
    pause_generation: int = 0
    staged_version: int | None = None  # published with STAGED, not yet activated
    staged_generation: int = 0
    reload_generation: int = 0

    def activated(self, version: int, generation: int) -> "RegionView":
        """The view once ``version`` is to be served; it is no longer merely staged."""
        staged = None if self.staged_version == version else self.staged_version
        kept = (*self.activations, (generation, version))[-HISTORY_KEPT:]
        return replace(self, activations=kept, staged_version=staged)

    def staged(self, version: int, generation: int) -> "RegionView":
        """The view once ``version`` is to be fetched, and not served before a command says so."""
        return replace(self, staged_version=version, staged_generation=generation)
