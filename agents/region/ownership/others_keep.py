"""What the region's other workers hold: they may share this machine's cache, so it must not be evicted here."""

from collections.abc import Set

from modelcast.schemas import keys
from modelcast.schemas.errors import ContentError
from modelcast.schemas.ports import ObjectStore
from modelcast.schemas.region_memory import MEMORY_SIZE_MAX, Memory


class OthersKeep:
    """Manifest digests that the state objects of models not owned here name. Blocking.

    Attributes:
        digests: as of the last look.
    """

    def __init__(self, region_store: ObjectStore) -> None:
        self._store = region_store
        self._seen: dict[str, tuple[str, frozenset[str]]] = {}  # model: (etag, digests)
        self.digests: frozenset[str] = frozenset()

    def look(self, own_models: Set[str]) -> None:
        """Read the states that have changed since the last look.

        Raises:
            StoreUnavailable: the region's bucket did not answer.
        """
        seen: dict[str, tuple[str, frozenset[str]]] = {}
        for info in self._store.list(keys.STATE_PREFIX):
            model = info.key.removeprefix(keys.STATE_PREFIX)
            if model in own_models:
                continue
            known = self._seen.get(model)
            seen[model] = known if known and known[0] == info.etag else (info.etag, self._digests_of(info.key))
        self._seen = seen
        self.digests = frozenset().union(*(digests for _, digests in seen.values()))

    def _digests_of(self, key: str) -> frozenset[str]:
        found = self._store.get(key, size_max=MEMORY_SIZE_MAX)
        if found is None:
            return frozenset()
        try:
            memory = Memory.decode(found.body, key=key)
        except ContentError:
            return frozenset()  # its owner raises the alarm
        return memory.digests_kept
