"""Answers to probes: the newest one, and few of them, whatever comes in."""

import asyncio

from modelcast.agents.region.reporting.snapshot_reporter import RecordOutbox
from modelcast.schemas.codec import encode
from modelcast.schemas.probes import PROBE_KEYS, Probe, ProbeAnswer
from modelcast.schemas.topics import Topic

ANSWER_SECONDS = 0.5
"""Between two answers. Probes come one a second at most; more of them are a backlog or made up."""


class ProbeAnswers:
    """Answers on the partition on which the probe came. For one event loop.

    Args:
        outbox: where to.
        region: of whom.
        worker: who.
    """

    def __init__(self, outbox: RecordOutbox, region: str, worker: str) -> None:
        self._outbox, self._region, self._worker = outbox, region, worker
        self._newest: tuple[int, Probe, int] | None = None
        self._may_answer_at = float("-inf")

    def take(self, probe: Probe, announced_at_us: int, partition: int) -> None:
        """Answer a probe of ``partition`` soon, unless a newer one follows.

        Args:
            probe: what was asked.
            announced_at_us: when Kafka received it, by its clock.
            partition: on which it came.
        """
        waits = self._newest is not None
        if self._newest is None or announced_at_us >= self._newest[0]:
            self._newest = announced_at_us, probe, partition
        if not waits:
            loop = asyncio.get_running_loop()
            loop.call_at(max(loop.time(), self._may_answer_at), self._answer)

    def _answer(self) -> None:
        assert self._newest is not None
        announced_at_us, probe, partition = self._newest
        self._newest = None
        self._may_answer_at = asyncio.get_running_loop().time() + ANSWER_SECONDS
        answer = ProbeAnswer(probe.registry_id, probe.probe_id, self._region, self._worker, announced_at_us)
        self._outbox.send(Topic.MODEL_ACKS, PROBE_KEYS[partition], encode(answer), lambda _done: None, {})
