"""What must hold as workers stop, as pods come and go, and as models are named that nobody published."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from modelcast.agents.region.decider.events_and_effects import Effect, Event, Fetch, Load, PodRead
from modelcast.schemas.records import ModelAck

if TYPE_CHECKING:
    from tests.simulation.actors.process import Process
    from tests.simulation.actors.worker import Worker
    from tests.simulation.world import World

STOPPING_BEGINS_NOTHING = "4 a worker that stops begins nothing more"
LOADS_ARE_AWAITED = "4 a worker that stops abandons no load before its time is up"
WHOSE_ANSWER = "5 what a pod says that has left says nothing of the one that has its name"
ONLY_PODS_THERE = "5 a region reports only pods that it has"
ONLY_KNOWN_MODELS = "5 nothing is owned or told of a model that the registry does not hold"
FLOOD_IS_CHEAP = "6 models that were made up cost the origin little"

DRAIN_SECONDS = 30.0


def check_step(world: World, worker: Worker, event: Event, effects: Iterable[Effect]) -> None:
    """The decider of a worker has taken a step."""
    if isinstance(event, PodRead):
        pod, reading = worker.pod_called(event.reading.pod), event.reading
        if pod is None or reading.incarnation.partition("#")[0] not in {"", pod.url}:
            what = f"{worker.name} takes {reading.incarnation or reading.pod} for {pod and pod.url}"
            world.checks.broken(WHOSE_ANSWER, what)
    begun = [type(effect).__name__ for effect in effects if isinstance(effect, Load | Fetch)]
    if worker.drains and begun:
        world.checks.broken(STOPPING_BEGINS_NOTHING, f"{worker.name} begins a {begun[0]}")


def check_drained(world: World, worker: Worker, began: float) -> None:
    """A worker that was told to stop at ``began`` is about to leave."""
    if worker.loads_under_way and world.now < began + DRAIN_SECONDS:
        what = f"{worker.name} leaves {worker.loads_under_way} loads after {world.now - began:.1f} seconds"
        world.checks.broken(LOADS_ARE_AWAITED, what)


def check_report(world: World, worker: Worker, ack: ModelAck) -> None:
    """A worker is about to report."""
    if strangers := {pod.pod for pod in ack.pods} - worker.roster.pods.keys():
        world.checks.broken(ONLY_PODS_THERE, f"{worker.name} reports {', '.join(sorted(strangers))}")


def check_model(world: World, who: str, model: str) -> None:
    """Somebody owns a model, or tells the world of it."""
    if model not in world.models:
        world.checks.broken(ONLY_KNOWN_MODELS, f"{who}: {model}")


def check_looks(world: World, process: Process, looks: int, seconds: float) -> None:
    """A process has asked the origin too often about models that were made up."""
    world.checks.broken(FLOOD_IS_CHEAP, f"{process.name} asked {looks} times within {seconds:.0f} seconds")
