"""What the controller needs from outside, as small Protocols."""

import time
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Protocol

from modelcast.agents.rollout.decider.facts import Moment
from modelcast.infra.kafka.outbox import Delivered
from modelcast.schemas.topics import Topic


class RolloutOutbox(Protocol):
    """What goes to Kafka (``Outbox``). Never waits."""

    def send(self, topic: Topic, key: str, value: bytes, on_delivery: Delivered = ..., /) -> None:
        """Hand a record over."""
        ...


def moment() -> Moment:
    """Now, by this machine's clocks."""
    return Moment(time.monotonic(), time.time_ns() // 1000)


@dataclass(frozen=True, slots=True)
class RolloutPorts:
    """The world.

    Attributes:
        outbox: to Kafka.
        threads: where stores are called.
        now: the clocks.
    """

    outbox: RolloutOutbox
    threads: Executor
    now: Callable[[], Moment] = moment
