"""A version that earns its traffic: how its rollout stands, and what of it a person wants to see. Pure."""

import shlex
from dataclasses import dataclass

from modelcast.dashboard.view.problems import NAMES_KEPT, REASON_CHARS_MAX, Problem
from modelcast.schemas.states import STALE_SECONDS
from modelcast.schemas.statuses import Status
from modelcast.schemas.traffic.grant import ACTIVE, RolloutPhase
from modelcast.schemas.traffic.reports import RolloutState


@dataclass(frozen=True, slots=True)
class SeenRollout:
    """A model's newest rollout, as its controller reported it.

    Attributes:
        state: that.
        reported_at_us: when, Kafka's clock, UTC microseconds.
        since_us: since when it stands so (its phase, and where it is cut off), as it was seen; 0: not known.
    """

    state: RolloutState
    reported_at_us: int
    since_us: int = 0

    def after(self, before: "SeenRollout | None") -> "SeenRollout":
        """The same, with since when it stands so."""
        if before is None:
            return self
        since_us = before.since_us if _standing(before.state) == _standing(self.state) else self.reported_at_us
        return SeenRollout(self.state, self.reported_at_us, since_us)


def _standing(state: RolloutState) -> object:
    return state.rollout, state.phase, tuple((each.region, each.cut) for each in state.regions if each.cut)


def candidate_problems(seen: SeenRollout, now_us: int, *, read: bool) -> list[Problem]:
    """What is wrong with a rollout under way: cut off, without a controller, or held.

    Args:
        seen: the rollout.
        now_us: UTC microseconds.
        read: whether reports are read now; else nothing is said of a controller that is not heard.
    """
    state = seen.state
    if state.phase not in ACTIVE:
        return []
    found = []
    if cut := [each for each in state.regions if each.cut]:
        names = tuple(each.region for each in cut)
        found.append(_problem(seen, "cut", Status.REFUSED, f"cut off in {_listed(names)}: {cut[0].cut}", names))
    if read and now_us - seen.reported_at_us > STALE_SECONDS * 1_000_000:
        reason = "no controller has reported on its rollout since; is `modelcast run rollouts` running?"
        found.append(_problem(seen, "unheard", Status.STALLED, reason, (), since_us=seen.reported_at_us))
    elif state.phase == RolloutPhase.HELD:
        found.append(_problem(seen, "held", Status.HELD, f"its rollout is held: {state.why}", ()))
    return found


def _problem(
    seen: SeenRollout, what: str, status: Status, reason: str, regions: tuple[str, ...], since_us: int = 0
) -> Problem:
    state = seen.state
    return Problem(
        id=f"candidate:{state.model}/{state.candidate}:{what}",
        status=status,
        cause="candidate",
        title=f"{state.model}/{state.candidate}",
        pairs=0,
        pairs_of=0,
        since_us=since_us or seen.since_us,
        reason=reason[:REASON_CHARS_MAX],
        command=f"modelcast rollout get {shlex.quote(state.model)}",
        model=state.model,
        region=regions[0] if len(regions) == 1 else "",
        version_from=state.control,
        version_to=state.candidate,
        models=(state.model,),
        regions=regions[:NAMES_KEPT],
    )


def _listed(names: tuple[str, ...]) -> str:
    shown = ", ".join(names[:NAMES_KEPT])
    return f"{shown} and {len(names) - NAMES_KEPT} more" if len(names) > NAMES_KEPT else shown
