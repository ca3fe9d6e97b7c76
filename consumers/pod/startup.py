"""What a pod does before it takes traffic: learn what its region serves, load that, and report what it lacks."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

import stamina
import structlog

from modelcast.consumers.pod.config import Aspired, AspiredSource
from modelcast.consumers.pod.failures import failure_message
from modelcast.consumers.pod.lifecycle import Lifecycle, Phase
from modelcast.consumers.pod.repository import Repository
from modelcast.consumers.pod.slot import Slot
from modelcast.consumers.pod_clients.port import LoadFailed, PodRefused
from modelcast.schemas.errors import ModelcastError

log = structlog.get_logger("modelcast.pod")

ASK_AGAIN_SECONDS = 2.0
NOT_KNOWN = "what the region serves is not known: "

AspiredByModel = Mapping[str, Aspired | None]
"""By model; None: it was served before the start, and what the region serves now is not known yet."""
Bring = Callable[[str, Aspired | None], Awaitable[None]]


class Startup:
    """Brings a pod to what its region serves.

    Ready means: each model that the region serves has been served since the start, by an order of that generation or
    a later one, and that was confirmed: what only the server's disk names reaches nothing. Orders are obeyed long
    before; that is how a pod that could not restore a model gets it.
    """

    def __init__(
        self, name: str, source: AspiredSource | None, served_before: set[str], repository: Repository, life: Lifecycle
    ) -> None:
        self._name = name
        self._source = source
        self._served_before = served_before
        self._repository = repository
        self._life = life
        self._unknown = ""  # why it is not known what the region serves

    async def run(self) -> None:
        """Return once the pod has been ready with all that its region serves."""
        aspired = await self._ask()
        # A source that answered has the last word on which models; without one, all that were served before.
        orders: AspiredByModel = dict.fromkeys(self._served_before) if aspired is None else aspired
        await self._all(self._restore, orders)
        if self._life.phase is Phase.STARTING:
            self._life.phase = Phase.INCOMPLETE
        self._repository.supervisor.spawn(self._candidates(orders))
        if aspired is None and self._source is not None:
            orders = await self._ask_until_told(orders)
            self._weigh(orders)
            await self._all(self._load, orders)
        reported = False
        while not self._weigh(orders):
            if not reported:
                log.warning("not ready: the region serves more than could be restored", lacking=self._life.lacking)
                reported = True
            await self._repository.supervisor.changed.wait()

    def _weigh(self, orders: AspiredByModel, unknown: str = "") -> bool:
        """Set the phase by what is served; return whether nothing is lacking."""
        life = self._life
        # One that takes traffic already goes on with an older version, as in any rollout, but not without a model.
        strict = life.phase is not Phase.READY
        lacking = set()
        for model, aspired in orders.items():
            slot = self._repository.supervisor.slots.get(model) or Slot(model)
            if slot.reached < (aspired.order.generation if aspired and strict else 0):
                lacking.add((aspired.refused if aspired else "") or slot.unconfirmed or model)
        life.lacking = (*sorted(lacking), *([unknown] if unknown else []))
        if life.lacking and life.phase is Phase.READY:
            life.phase = Phase.INCOMPLETE
        elif not life.lacking and life.phase is Phase.INCOMPLETE:
            life.phase = Phase.READY
            log.info("ready", pod=self._name, models=sorted(orders))
        return not life.lacking

    async def _ask_until_told(self, orders: AspiredByModel) -> AspiredByModel:
        """What the region serves. Meanwhile a pod that has restored what it served takes traffic for that.

        A new pod does not: it would take traffic for models that it does not have.
        """
        while True:
            self._weigh(orders, "" if orders else f"{NOT_KNOWN}{self._unknown}")
            await asyncio.sleep(ASK_AGAIN_SECONDS)
            if (aspired := await self._ask()) is not None:
                return aspired

    async def _ask(self) -> dict[str, Aspired] | None:
        source = self._source
        if source is None:
            return None
        try:
            async for attempt in stamina.retry_context(on=ModelcastError, attempts=4, timeout=20.0, wait_initial=0.2):
                with attempt:
                    return {aspired.order.model: aspired for aspired in await asyncio.to_thread(source.aspired)}
        except ModelcastError as error:
            self._unknown = str(error)
            log.error("what the region serves is not known now", error=str(error))
        except Exception as error:  # an unforeseen one must not leave the pod starting for ever
            self._unknown = failure_message(error)
            log.exception("what the region serves is not known now")
        return None

    async def _all(self, bring: Bring, orders: AspiredByModel) -> None:
        async def one(model: str, aspired: Aspired | None) -> None:
            try:
                await bring(model, aspired)
            except (PodRefused, LoadFailed) as error:
                log.error("given up at start; the region will order it", model=model, error=str(error))

        await asyncio.gather(*(one(model, aspired) for model, aspired in orders.items()))

    async def _restore(self, model: str, aspired: Aspired | None) -> None:
        if aspired is not None and aspired.refused:
            await self._repository.resume(model)  # a server that outlived this process loads nothing anew
        elif aspired is not None:
            await self._repository.restore(aspired.order, model, aspired.quarantined)
        else:
            await self._repository.restore(None, model)

    async def _candidates(self, orders: AspiredByModel) -> None:
        """After the controls, which come first where memory is short. The pod is ready without them."""
        await self._all(self._restore_candidate, orders)

    async def _restore_candidate(self, model: str, aspired: Aspired | None) -> None:
        await self._repository.restore_candidate(model, aspired.quarantined if aspired else frozenset())

    async def _load(self, model: str, aspired: Aspired | None) -> None:
        if aspired is not None and not aspired.refused:
            await self._repository.load(aspired.order)
