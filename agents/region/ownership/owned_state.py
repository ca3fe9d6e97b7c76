"""Who owns a model in a region: the worker that claimed the highest epoch of the object ``state/<model>`` there.

Every write is a conditional put on the version that was read or written last, so a worker that was replaced finds
out at its first write, however late it wakes.
"""

from collections.abc import Callable
from dataclasses import replace

from modelcast.schemas import keys
from modelcast.schemas.errors import ForeignRegistry, Refused, StoreUnavailable
from modelcast.schemas.ports import ObjectStore, PreconditionFailed
from modelcast.schemas.region_memory import MEMORY_SIZE_MAX, Memory

CLAIM_ATTEMPTS = 16


class Superseded(Refused):
    """Another worker owns the model now."""


class OwnedState:
    """One model's state object, as this worker knows it. Blocking; one call at a time.

    Args:
        store: the region's bucket.
        model: whose state.
        region: the region's name.
        owner: unlike any other process', also of another life of this worker.
        may_replace: whether we may take the model from another worker now; asked right before each attempt.
    """

    def __init__(
        self,
        store: ObjectStore,
        model: str,
        region: str,
        owner: str,
        may_replace: Callable[[], bool] = lambda: True,
    ) -> None:
        self._store = store
        self._model = model
        self._region = region
        self._owner = owner
        self._may_replace = may_replace
        self._key = keys.region_state(model)
        self._etag: str | None = None  # None: the object does not exist
        self._memory: Memory | None = None

    def claim(self, registry_id: str) -> Memory:
        """Take the next owner epoch.

        Raises:
            Superseded: another worker owns it, and this one may not take it (any more).
            ForeignRegistry: the state is of another registry.
            ContentError: the state is damaged.
            StoreUnavailable: the bucket did not say whether the claim stands, or others claim all the time.
        """
        for _ in range(CLAIM_ATTEMPTS):
            found = self._read()
            known = found or Memory(registry_id, self._model, self._region)
            if known.registry_id != registry_id:
                raise ForeignRegistry(
                    f"the region obeys registry {known.registry_id}, the origin store is {registry_id}",
                    subject=f"{self._store.name}/{self._key}",
                    hint="the origin was wiped, restored or swapped; see `modelcast doctor`",
                )
            # After the read: a sleep before this line is noticed here, and one behind it by the conditional put.
            if known.owner not in {"", self._owner} and not self._may_replace():
                raise Superseded(f"owned by {known.owner} with epoch {known.epoch}", subject=self._key)
            try:
                return self._write(known.claimed_by(self._owner))
            except PreconditionFailed:
                continue  # another was faster (or our own put took effect unheard: the next epoch is as good)
        raise StoreUnavailable("others claim the model all the time", subject=f"{self._store.name}/{self._key}")

    def save(self, memory: Memory) -> Memory:
        """Write ``memory``; what is durable afterwards, under our epoch. That is another memory if the epoch rose.

        Raises:
            Superseded: another worker owns the model.
            StoreUnavailable: it may or may not be durable. Call again.
        """
        held = self._held()
        if memory.epoch != held.epoch:
            return held
        try:
            return self._write(memory)
        except PreconditionFailed:
            # Either an earlier put of ours took effect without our hearing of it, or the object is another's.
            found = self._read()
            self._expect_ours(found)
            if found is not None and found.epoch > held.epoch:
                self._memory = found
                return found
        try:
            return self._write(memory)
        except PreconditionFailed:
            raise Superseded("its state is being written by another worker", subject=self._key) from None

    def check(self, epoch_seen: int = 0) -> Memory:
        """Prove that this worker still owns the model; take an epoch above ``epoch_seen`` if its own is lower.

        Pods remember the highest epoch that they obeyed; after a loss of the region's bucket it counts from 1 again.

        Raises:
            Superseded: it is not.
            StoreUnavailable: the bucket did not answer.
        """
        found = self._read()
        self._expect_ours(found)
        held = self._held()
        if found is not None and found.epoch >= held.epoch:
            held = self._memory = found  # also a write of ours that took effect unheard
        if found is not None and epoch_seen <= held.epoch:
            return held
        raised = replace(held, epoch=epoch_seen + 1) if epoch_seen > held.epoch else held
        try:
            return self._write(raised)
        except PreconditionFailed:
            raise Superseded("its state is being written by another worker", subject=self._key) from None

    def _expect_ours(self, found: Memory | None) -> None:
        held = self._held()
        if found is None or found.epoch < held.epoch:
            return  # lost, or restored from a copy: we know more, and write it again
        if found.owner != self._owner:
            self._memory = None  # for good: what was just read must not become the ground of a later write
            raise Superseded(f"owned by {found.owner} with epoch {found.epoch} (ours: {held.epoch})", subject=self._key)

    def _held(self) -> Memory:
        if self._memory is None:
            raise Superseded("not claimed", subject=self._key)
        return self._memory

    def _read(self) -> Memory | None:
        found = self._store.get(self._key, size_max=MEMORY_SIZE_MAX)
        self._etag = found.info.etag if found else None
        return Memory.decode(found.body, key=f"{self._store.name}/{self._key}") if found else None

    def _write(self, memory: Memory) -> Memory:
        body = memory.encode()
        if self._etag is None:
            info = self._store.put(self._key, body, if_absent=True)
        else:
            info = self._store.put(self._key, body, if_match=self._etag)
        self._etag, self._memory = info.etag, memory
        return memory
