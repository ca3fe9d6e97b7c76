"""Models that are named and not known yet: whether the registry holds them is asked by one listing for all.

Every writer of the topics can make names up. So a name costs no request of its own, and nothing is kept of it but
that it waits; how many do is bounded.
"""

import asyncio
from typing import Protocol

import structlog

from modelcast.infra.registry.shared_listing import SharedListing
from modelcast.schemas.errors import ModelcastError

NEWCOMERS_MAX = 1_000
RETRY_SECONDS = 2.0

log = structlog.get_logger(__name__)


class AsksForModels(Protocol):
    """Who has models looked up."""

    def found(self, model: str) -> None:
        """The registry holds it."""
        ...

    def not_found(self, model: str) -> None:
        """The registry does not hold it."""
        ...


class Newcomers:
    """Looks up models that are not known yet, for ``owner``. It belongs to one event loop."""

    def __init__(self, listing: SharedListing, owner: AsksForModels) -> None:
        self._listing, self._owner = listing, owner
        self._waiting: dict[str, asyncio.Future[None]] = {}
        self._task: asyncio.Task[None] | None = None

    def ask(self, model: str) -> asyncio.Future[None] | None:
        """Find out whether the registry holds a model.

        Returns:
            Done when that is known; None if too many wait already.
        """
        if model not in self._waiting and len(self._waiting) >= NEWCOMERS_MAX:
            return None
        loop = asyncio.get_running_loop()
        answer = self._waiting.setdefault(model, loop.create_future())
        if self._task is None or self._task.done():
            self._task = loop.create_task(self._answer())
        return answer

    def close(self) -> None:
        """Stop looking models up."""
        if self._task is not None:
            self._task.cancel()

    async def _answer(self) -> None:
        reported = False
        while asked := tuple(self._waiting):
            try:
                names = await self._listing.names()
            except ModelcastError as error:
                if not reported:
                    log.warning("the registry can't be listed", error=error)
                reported = True
                await asyncio.sleep(RETRY_SECONDS)
                continue
            for model in asked:
                answer = self._waiting.pop(model)
                (self._owner.found if model in names else self._owner.not_found)(model)
                answer.set_result(None)
