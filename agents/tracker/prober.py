"""Sends probes, takes the answers in, and reports what came of them on ``probe-state``. For one event loop."""

import asyncio
import secrets
from collections.abc import Set
from functools import partial
from typing import Protocol

import structlog

from modelcast.agents.tracker.decider.heartbeats import Heartbeats
from modelcast.agents.tracker.decider.probes import Probes
from modelcast.agents.tracker.intake import PROBE, PROBE_LATE
from modelcast.agents.tracker.judging import Judging
from modelcast.agents.tracker.ports import Message, Table, TrackerPorts
from modelcast.infra.registry.reader import RegistryReader
from modelcast.infra.settings import TrackerSettings
from modelcast.infra.telemetry.metrics import PROBE_LAST_SUCCESS, PROBE_SECONDS
from modelcast.schemas.codec import decode_as, encode
from modelcast.schemas.errors import ModelcastError
from modelcast.schemas.probes import PROBE_KEYS, Probe, ProbeAnswer, ProbeState
from modelcast.schemas.topics import Topic

LOOK_SECONDS = 0.25
LOG_SECONDS_MAX = 5.0
"""How long the store has to answer; then the probe goes without."""
RESTORE_SECONDS_MAX = 10.0

log = structlog.get_logger(__name__)


class Probed(Protocol):
    """Whom probes ask (``Emitter``)."""

    @property
    def expected(self) -> tuple[str, ...]:
        """The regions that ought to answer."""
        ...

    @property
    def owned(self) -> frozenset[int]:
        """The partitions that are this worker's; none while they change hands."""
        ...


class Prober:
    """Sends this worker's probes, and reports what came of them.

    Args:
        pace: how often, and when a region is silent.
        worker: this worker's name.
        reader: the registry.
        judging: by what every record is judged.
        heartbeats: which regions are heard of.
        ports: the world.
        probed: which regions ought to answer, on which partitions.
    """

    def __init__(
        self,
        pace: TrackerSettings,
        worker: str,
        reader: RegistryReader,
        judging: Judging,
        heartbeats: Heartbeats,
        ports: TrackerPorts,
        probed: Probed,
    ) -> None:
        self._pace, self._worker, self._reader, self._judging = pace, worker, reader, judging
        self._heartbeats, self._ports, self._probed = heartbeats, ports, probed
        self._probes = Probes(pace.probe_seconds)
        self._known: frozenset[int] = frozenset()  # partitions of which it is known what was reported before
        self._registry_id = ""
        self._reporting: set[int] = set()
        self._answered_us: dict[str, int] = {}

    async def run(self) -> None:
        """Probe until cancelled."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            owned, clock = self._probed.owned, self._ports.clock
            self._known &= owned
            self._probes.keep(owned)
            if (partition := self._probes.due(clock.wall_us(), owned)) is not None:
                await self._probe(partition)
            self._probes.tick(self._heard(), clock.monotonic(), clock.wall_us())
            self._report()

    async def take(self, message: Message, _table: Table) -> str:
        """Take an answer in; what became of it. Raises ``Unusable``."""
        raw = message.value or b""
        answer = await self._judging.decoded(raw, partial(decode_as, ProbeAnswer))
        if not self._judging.counts(answer.region, raw, message):
            return "unknown-region"
        key = (message.key or b"").decode()
        await self._judging.check_origin(answer.registry_id, key, answer.region, message.partition)
        appended_us = round(message.timestamp * 1_000_000)
        now_us, ahead_us = self._ports.clock.wall_us(), self._heartbeats.ahead_us
        times = self._probes.answer(answer, message.partition, appended_us, now_us, ahead_us)
        if times is None:
            return PROBE_LATE
        PROBE_SECONDS.labels("region").observe(times.region_seconds)
        PROBE_SECONDS.labels("tracker").observe(times.tracker_seconds)
        self._show(answer.region, appended_us)
        self._report(finished_only=True)
        return PROBE

    # ----------------------------------------------------------------------------------------------------------

    async def _probe(self, partition: int) -> None:
        clock, loop = self._ports.clock, asyncio.get_running_loop()
        began = clock.monotonic()
        asked = loop.run_in_executor(self._ports.stores, self._reader.read_registry_id)
        asked.add_done_callback(lambda done: done.cancelled() or done.exception())  # it may come too late for anyone
        await asyncio.wait({asked}, timeout=LOG_SECONDS_MAX)
        log_seconds = self._log_answered(asked, clock.monotonic() - began)
        if not self._registry_id:
            return  # no region could tell whether the probe is ours
        if (owned := self._probed.owned) - self._known:
            await self._restore(owned)
        if partition not in self._probed.owned:
            return
        probe = Probe(self._registry_id, secrets.token_hex(8), self._worker, clock.wall_us())
        expected = frozenset(self._probed.expected)
        for region in expected - self._answered_us.keys():
            self._show(region, probe.sent_at_us)
        if not self._probes.begin(probe, partition, expected, self._heard(), clock.monotonic(), log_seconds):
            return
        self._ports.sender.send(
            Topic.MODEL_UPDATES, PROBE_KEYS[partition], encode(probe), partial(self._delivered, probe.probe_id)
        )

    def _log_answered(self, asked: asyncio.Future[str], took_seconds: float) -> float | None:
        """Seconds that the store took to tell the registry's id; None: it has not."""
        if not asked.done():
            asked.add_done_callback(
                lambda late: late.cancelled() or late.exception()
            )  # looked at, so that none is lost
            return None
        if (error := asked.exception()) is not None:
            log.debug("the registry did not answer a probe", error=str(error))
            return None
        self._registry_id = asked.result()
        PROBE_SECONDS.labels("log").observe(took_seconds)
        return took_seconds

    def _delivered(self, probe_id: str, done: bool) -> None:
        clock = self._ports.clock
        seconds = self._probes.delivered(probe_id, done, clock.monotonic(), clock.wall_us())
        if seconds is not None:
            PROBE_SECONDS.labels("kafka").observe(seconds)

    def _heard(self) -> Set[str]:
        expected = self._probed.expected
        return frozenset(expected) - self._heartbeats.silent(
            expected, self._ports.clock.wall_us(), self._pace.silent_seconds
        )

    async def _restore(self, owned: frozenset[int]) -> None:
        found = await self._ports.published.probe_states(RESTORE_SECONDS_MAX)
        if found is None:
            log.warning("the probes of before are not known: what is counted of this day begins anew")
        self._known = owned
        for raw in (found or {}).values():
            try:
                state = decode_as(ProbeState, raw, book=self._reader.book)
            except ModelcastError as error:
                log.warning("a probe's reports can't be read", error=error)
                continue
            if state.registry_id != self._registry_id:
                continue
            self._probes.restore(state, owned)
            for row in state.regions:
                if row.answered_at_us > self._answered_us.get(row.region, 0) and row.region in self._probed.expected:
                    self._show(row.region, row.answered_at_us)

    def _show(self, region: str, at_us: int) -> None:
        self._answered_us[region] = at_us
        PROBE_LAST_SUCCESS.labels(region).set(at_us / 1_000_000)

    def _report(self, *, finished_only: bool = False) -> None:
        """Report what changed; of each partition, what was reported before must have arrived: Kafka may be away."""
        for partition in sorted(self._probes.changed - self._reporting):
            state = self._probes.states.get(partition)
            if state is None or (finished_only and any(row.asked and row.seconds is None for row in state.regions)):
                continue
            self._probes.changed.discard(partition)
            self._reporting.add(partition)
            self._ports.sender.send(Topic.PROBE_STATE, str(partition), encode(state), partial(self._arrived, partition))

    def _arrived(self, partition: int, done: bool) -> None:
        self._reporting.discard(partition)
        if not done:
            self._probes.changed.add(partition)
