"""One state object, written by several: what serves, the candidate beside it, and the guard's cut, a part each.

All parts are under one owner epoch, each write carries the newest of every part, and one call follows the other.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import replace
from typing import Protocol, TypeVar

from modelcast.schemas.region_memory import CandidatePart, Cut, Memory

T = TypeVar("T")


class WholeState(Protocol):
    """The object (``OwnedState``). Blocking; one call at a time."""

    def claim(self, registry_id: str) -> Memory:
        """Take the next owner epoch."""
        ...

    def save(self, memory: Memory) -> Memory:
        """Write; raises ``Superseded`` or ``StoreUnavailable``."""
        ...

    def check(self, epoch_seen: int = 0) -> Memory:
        """Prove that this worker owns it; raises like ``save``."""
        ...


class StateTurn:
    """One blocking call after the other, also where who asked for one does not wait for its end any more."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()

    async def run(self, executor: Executor, call: Callable[[], T]) -> T:
        """``call()`` on a thread of ``executor``, once no other call is under way."""
        await self._lock.acquire()
        doing = asyncio.get_running_loop().run_in_executor(executor, call)
        doing.add_done_callback(self._ended)
        return await asyncio.shield(doing)

    def _ended(self, doing: "asyncio.Future[T]") -> None:
        self._lock.release()
        if not doing.cancelled():
            doing.exception()  # who asked may be gone: it was not left unseen


class StateParts:
    """What serves, as a ``StateObject``; ``CandidateState`` is the other part's. Blocking; calls take a ``turn``.

    Args:
        state: the whole.

    Attributes:
        turn: of every call.
    """

    def __init__(self, state: WholeState) -> None:
        self.turn = StateTurn()
        self._state = state
        self._whole: Memory | None = None  # as it was written or read last
        self._serving: Memory | None = None  # what was to be written last of what serves: that may land late
        self._candidate: CandidatePart | None = None
        self._cut: Cut | None = None

    @property
    def candidate(self) -> CandidatePart | None:
        """The candidate's part, as it was saved last; None: there is none."""
        return self._candidate

    @property
    def cut(self) -> Cut | None:
        """The guard's cut, as it was saved last; None: there is none."""
        return self._cut

    def of_candidate(self, memory: Memory) -> Memory:
        """The candidate's part as a memory of its own, under the owner that ``memory`` names."""
        return replace(memory, candidate=self._candidate).of_candidate()

    def claim(self, registry_id: str) -> Memory:
        """See ``OwnedState.claim``."""
        memory = self._state.claim(registry_id)
        self._candidate, self._cut = memory.candidate, memory.cut
        return self._known(memory)

    def save(self, memory: Memory) -> Memory:
        """See ``OwnedState.save``. The other parts are written as they were saved last, whatever ``memory`` has."""
        self._serving = memory
        return self._known(self._state.save(replace(memory, candidate=self._candidate, cut=self._cut)))

    def check(self, epoch_seen: int = 0) -> Memory:
        """See ``OwnedState.check``."""
        return self._known(self._state.check(epoch_seen))

    def save_candidate(self, part: CandidatePart | None) -> Memory:
        """Write the candidate's part; None: nothing is left of it. Raises like ``save``."""
        self._candidate = part
        return self._write()

    def save_cut(self, cut: Cut | None) -> Memory:
        """Write the guard's cut; None: it is over. Raises like ``save``."""
        self._cut = cut
        return self._write()

    def _write(self) -> Memory:
        whole = self._whole if self._whole is not None else self._state.check()
        serving = self._serving
        if serving is not None and serving.accepted_generation >= whole.accepted_generation:
            whole = replace(serving, epoch=whole.epoch, owner=whole.owner)
        return self._known(self._state.save(replace(whole, candidate=self._candidate, cut=self._cut)))

    def _known(self, memory: Memory) -> Memory:
        self._whole = memory
        return memory


class CandidateState:
    """A ``StateObject`` of the candidate's part. The model is claimed by the owner of the whole."""

    def __init__(self, parts: StateParts) -> None:
        self._parts = parts

    def claim(self, registry_id: str) -> Memory:
        """See ``StateParts.claim``: the whole is claimed, and its candidate with it."""
        return self._parts.claim(registry_id).of_candidate()

    def save(self, memory: Memory) -> Memory:
        """See ``OwnedState.save``."""
        return self._parts.save_candidate(memory.as_candidate).of_candidate()

    def check(self, epoch_seen: int = 0) -> Memory:
        """See ``OwnedState.check``."""
        return self._parts.check(epoch_seen).of_candidate()
