"""How old what is shown is, in a line: the rule and the words of the page (``static/parts.js``) and of ``top``."""

from dataclasses import dataclass

from modelcast.schemas.quantities import duration
from modelcast.schemas.states import STALE_SECONDS

QUIET_SECONDS = 4.5
"""Seconds without any news after which what is shown is how things were: two ticks of the source were missed."""
UNHEARD_SECONDS = 3.0
"""A tracker tells each second that it lives; one that has not for longer is said to be unheard."""


@dataclass(frozen=True, slots=True)
class SeenAges:
    """How long ago what is shown was said. Seconds.

    Attributes:
        quiet: since the source of what is shown said anything.
        tracker: since the tracker last reported anything; None: it never has.
        unheard: since any tracker told that it lives; 0: it did in time, or that is not known.
        kafka: how Kafka is.
        source: where states come from.
    """

    quiet: float
    tracker: float | None
    unheard: float
    kafka: str
    source: str

    @property
    def live(self) -> bool:
        """Whether news arrive."""
        return self.quiet < QUIET_SECONDS

    @property
    def old(self) -> bool:
        """Whether what is shown is how things were."""
        return not self.live or (self.tracker or 0.0) > STALE_SECONDS

    def line(self, away: str = "") -> str:
        """The head of every page; ``away``: why the source says nothing, or ""."""
        if away or not self.live:
            return f"◌ reconnecting, {duration(self.quiet)} old{f': {away}' if away else ''}"
        if self.tracker is not None and self.tracker > STALE_SECONDS:
            return f"▲ OLD: the tracker last reported {duration(self.tracker)} ago"
        if self.unheard:
            return f"◐ no tracker was heard for {duration(self.unheard)}"
        if self.kafka != "live":
            return f"◐ Kafka is {self.kafka}; shown from {self.source}"
        return f"● live, {duration(self.quiet)} old"
