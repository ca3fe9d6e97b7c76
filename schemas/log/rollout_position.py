"""Where in its plan a rollout is, by what the log grants."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from modelcast.schemas.log.fold import ModelLog
from modelcast.schemas.log.rollouts import LoggedRollout
from modelcast.schemas.traffic.grant import TrafficGrant
from modelcast.schemas.traffic.steps_and_gates import PlanStep, Strategy

PROMOTING = frozenset({Strategy.CANARY, Strategy.GRADUAL, Strategy.BLUE_GREEN})
"""Strategies at whose end the candidate is promoted; the others end by a person's word."""


@dataclass(frozen=True, slots=True)
class Position:
    """A place in a plan.

    Attributes:
        waves: the regions of each wave that has any, in order, without standby regions.
        wave: the number of the one under way.
        step: the number of the last step that all its regions were granted; -1: none was.
        steps: of the plan.
    """

    waves: tuple[tuple[str, ...], ...]
    wave: int
    step: int
    steps: tuple[PlanStep, ...]

    @property
    def regions(self) -> tuple[str, ...]:
        """Of the wave under way."""
        return self.waves[self.wave]

    @property
    def met(self) -> tuple[str, ...]:
        """Regions of this wave and all before it."""
        return tuple(region for wave in self.waves[: self.wave + 1] for region in wave)

    @property
    def current(self) -> PlanStep | None:
        """The step under way; None: none was taken."""
        return self.steps[self.step] if self.step >= 0 else None

    @property
    def at_the_end(self) -> bool:
        """Whether no step is left in any wave."""
        return self.wave == len(self.waves) - 1 and self.step == len(self.steps) - 1

    def next_shares(self) -> tuple[tuple[str, ...], PlanStep]:
        """The regions that come next, and their step. Not at the end."""
        if self.step < len(self.steps) - 1:
            return self.regions, self.steps[self.step + 1]
        return self.waves[self.wave + 1], next(step for step in self.steps if step.share)


def grants_of(log: ModelLog, regions: Iterable[str]) -> dict[str, TrafficGrant]:
    """The grants of those regions that take part, by region."""
    return {region: grant for region in regions if (grant := log.grant(region)) is not None}


def position_of(rollout: LoggedRollout, grants: Mapping[str, TrafficGrant]) -> Position | None:
    """Where the rollout is; None: no region that could answer requests takes part.

    A step without share needs no entry: it is taken from the start.
    """
    plan = rollout.plan
    by_wave: dict[int, list[str]] = {}
    for region in sorted(grants):
        if (wave := plan.wave_of(region)) >= 0:
            by_wave.setdefault(wave, []).append(region)
    waves = tuple(tuple(by_wave[number]) for number in sorted(by_wave))
    if not waves:
        return None
    number, last = 0, len(plan.steps) - 1
    while number < len(waves) - 1 and _wave_step(plan.steps, grants, waves[number]) == last:
        if not any(grants[region].ceiling for region in waves[number + 1]):
            break  # its last step is still under way
        number += 1
    return Position(waves, number, _wave_step(plan.steps, grants, waves[number]), plan.steps)


def _wave_step(steps: tuple[PlanStep, ...], grants: Mapping[str, TrafficGrant], wave: tuple[str, ...]) -> int:
    return min(_step_of(steps, grants[region].ceiling) for region in wave)


def _step_of(steps: tuple[PlanStep, ...], ceiling: int) -> int:
    """The last step whose share is granted; -1: none is. Of a ceiling between two steps, the lower one."""
    return max((number for number, step in enumerate(steps) if step.share <= ceiling), default=-1)
