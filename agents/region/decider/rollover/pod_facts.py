"""What goes into the decision which pods get their order now, and what comes out."""

from dataclasses import dataclass
from enum import Enum

from modelcast.agents.region.decider.knowledge import NEVER


class Need(Enum):
    """What a pod lacks."""

    NOTHING = "nothing"
    AUTHORITY = "authority"  # it serves the version, and has to learn whose order that is: nothing is loaded
    VERSION = "version"  # it serves another one, or is to load the same one again
    ANYTHING = "anything"  # it serves nothing: a load takes no traffic from anybody


@dataclass(frozen=True, slots=True)
class PodFacts:
    """What is known of one pod, as far as a rollover is concerned. Times are on the clock of ``now``."""

    name: str
    zone: str = ""
    # What it lacks; while ``loading``, what it gets.
    need: Need = Need.NOTHING
    loading: bool = False
    # It did not answer when it was last asked.
    lost: bool = False
    # It answers, takes traffic and serves a version of the model.
    healthy: bool = True
    # It may be ordered this moment: it is not being read, and no pause between two tries holds it.
    startable: bool = True
    # A swap fails none of its requests.
    gapless: bool = True
    # The other model that it loads now; "": none.
    loads_another: str = ""
    # Loads of this generation that failed in a row.
    failures: int = 0
    # Why its failure counts against the rollover; "": it does not.
    failure: str = ""
    # When it got its last order of this generation, and when it was first seen to serve it, or failed first. NEVER:
    # not under this owner; who takes over sees what is served, and therefore pauses before it goes on.
    ordered_at: float = NEVER
    ended_at: float = NEVER


@dataclass(frozen=True, slots=True)
class Decision:
    """Which pods get their order now, and what holds the rest."""

    orders: tuple[str, ...] = ()
    # Why the rest waits, for people; "": nothing waits, or only for an answer that is due.
    waits: str = ""
    # When that is over, if a pause is the reason.
    waits_until: float = NEVER
    # When to ask again although nothing has happened.
    ask_again_at: float = float("inf")
    # Why nothing more is ordered under this generation, for people; "": it goes on.
    stops: str = ""
    # It waits for what no time brings: a person has to change the settings, or add pods.
    blocked: bool = False
