"""One model's controller: the pure decider, and its effects carried out one after the other."""

import asyncio
from dataclasses import replace

import structlog

from modelcast.agents.rollout.decider import facts
from modelcast.agents.rollout.decider.step import advance
from modelcast.agents.rollout.ports import RolloutPorts
from modelcast.agents.rollout.store import RolloutStore
from modelcast.infra.registry.reader import RegistryReader
from modelcast.infra.telemetry.metrics import ANNOUNCEMENTS
from modelcast.schemas.codec import encode
from modelcast.schemas.errors import ModelcastError
from modelcast.schemas.log.fold import ModelLog
from modelcast.schemas.topics import Topic
from modelcast.schemas.traffic.grant import ACTIVE
from modelcast.schemas.traffic.table import encode_table

log = structlog.get_logger(__name__)


class RolloutActor:
    """For one event loop.

    Args:
        model: whose.
        expected: regions of the settings.
        reader: the registry.
        worker: this worker's name.
        ports: the world.
    """

    def __init__(
        self, model: str, expected: tuple[str, ...], reader: RegistryReader, worker: str, ports: RolloutPorts
    ) -> None:
        self.model = model
        self._ports = ports
        self._store = RolloutStore(reader, model, worker)
        self._state = facts.ControllerState(model, expected)
        self._effects: asyncio.Queue[facts.Effect] = asyncio.Queue()
        self._working: asyncio.Task[None] | None = None

    @property
    def log(self) -> ModelLog | None:
        """The fold, as far as it was read."""
        return self._state.log

    @property
    def busy(self) -> bool:
        """Whether a rollout is under way, or something about one is left to do."""
        rollout = self._state.log.rollout if self._state.log is not None else None
        return rollout is not None and (rollout.active or not self._state.epoch or self._state.asking)

    def tell(self, event: facts.Event) -> None:
        """Take an event in."""
        self._state, effects = advance(self._state, event, self._ports.now())
        for effect in effects:
            if isinstance(effect, facts.PublishState):
                self._publish(effect)
            else:
                self._effects.put_nowait(effect)
        if self._effects.qsize() and (self._working is None or self._working.done()):
            self._working = asyncio.create_task(self._work())

    async def close(self) -> None:
        """Do nothing more."""
        if self._working is not None:
            self._working.cancel()
            await asyncio.gather(self._working, return_exceptions=True)

    async def _work(self) -> None:
        while self._effects.qsize():
            effect = self._effects.get_nowait()
            try:
                answer = await self._do(effect)
            except ModelcastError as error:
                log.warning(
                    "a rollout's effect failed", model=self.model, effect=type(effect).__name__, error=str(error)
                )
                answer = facts.Failed()
            except Exception:  # it is tried again: without an answer the rollout would stand still for good
                log.exception(
                    "a rollout's effect failed in an unforeseen way", model=self.model, effect=repr(effect)[:300]
                )
                answer = facts.Failed()
            if answer is not None:
                self.tell(answer)

    async def _do(self, effect: facts.Effect) -> facts.Event | None:
        loop, store = asyncio.get_running_loop(), self._store
        match effect:
            case facts.TakeOver(rollout):
                return await loop.run_in_executor(self._ports.threads, store.take_over, rollout)
            case facts.PutTable(table):
                answer = await loop.run_in_executor(self._ports.threads, store.put_table, effect)
                if isinstance(answer, facts.TablePut):
                    self._ports.outbox.send(Topic.TRAFFIC_STATE, self.model, encode_table(table))
                return answer
            case facts.ClaimEntry():
                assert self._state.log is not None
                answer, body = await loop.run_in_executor(
                    self._ports.threads, store.claim_entry, effect, self._state.log, self._ports.now()
                )
                if body:
                    self._ports.outbox.send(Topic.MODEL_UPDATES, self.model, body, _announced)
                return answer
            case facts.SaveProgress():
                try:
                    await loop.run_in_executor(self._ports.threads, store.save_progress, effect)
                except ModelcastError as error:
                    log.warning("the progress of a rollout can't be saved", model=self.model, error=str(error))
        return None

    def _publish(self, effect: facts.PublishState) -> None:
        try:
            body = encode(effect.state)
        except ModelcastError as error:
            log.error("how a rollout stands can't be written", model=self.model, error=str(error))
            body = encode(replace(effect.state, gates=(), regions=(), why=effect.state.why[:200]))
        self._ports.outbox.send(Topic.ROLLOUT_STATE, self.model, body)
        if self._state.table is not None and effect.state.phase in ACTIVE:  # so that regions know that somebody is here
            self._ports.outbox.send(Topic.TRAFFIC_STATE, self.model, encode_table(self._state.table))


def _announced(done: bool) -> None:
    ANNOUNCEMENTS.labels("rollouts", "done" if done else "failed").inc()
