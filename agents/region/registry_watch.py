"""Which registry a region obeys: the one that it met first, remembered in its own bucket."""

from collections.abc import Callable
from contextlib import suppress

from modelcast.infra.registry.reader import RegistryReader
from modelcast.schemas import keys
from modelcast.schemas.errors import NotFound, TransportError
from modelcast.schemas.log.registry_id import REGISTRY_ID_SIZE_MAX, decode_registry_id, encode_registry_id
from modelcast.schemas.ports import ObjectStore, PreconditionFailed


class RegistryWatch:
    """The origin's registry as this region knows it. Blocking; for one thread at a time.

    Attributes:
        reader: reads the registry's logs.
        registry_id: what the region obeys; "" until it has met a registry.
    """

    def __init__(
        self, origin: ObjectStore, region_store: ObjectStore, opener: Callable[..., RegistryReader] = RegistryReader
    ) -> None:
        self._region_store = region_store
        self._origin = origin
        self._open = opener
        self.reader = opener(origin)
        self.registry_id = ""

    def remembered(self) -> str:
        """What the region's bucket remembers; "" if it has met no registry.

        Raises:
            StoreUnavailable: the region's bucket did not answer.
            Refused: what lies there is no id.
        """
        if not self.registry_id:
            found = self._region_store.get(keys.REGISTRY_ID, size_max=REGISTRY_ID_SIZE_MAX)
            if found is not None:
                subject = f"{self._region_store.name}/{keys.REGISTRY_ID}"
                self._obey(decode_registry_id(found.body, subject=subject, hint="remove it to start anew"))
        return self.registry_id

    def check(self) -> str:
        """Read the origin's id and compare it with the remembered one; remember it if it is the first.

        Raises:
            NotFound: the origin holds no registry yet, and none is expected.
            ForeignRegistry: the origin holds another one, or none any more.
            StoreUnavailable: a store did not answer.
        """
        known = self.remembered()
        found = self.reader.read_registry_id()
        if not known:
            body = encode_registry_id(found)
            with suppress(PreconditionFailed):  # another worker of the region was as fast: read what it put
                self._region_store.put(keys.REGISTRY_ID, body, if_absent=True)
            if self.remembered() != found:
                return self.check()
        return found

    def models(self) -> set[str]:
        """Models that the registry or, while it is away, at least this region knows.

        Raises:
            StoreUnavailable: neither answered.
        """
        with suppress(TransportError, NotFound):
            return set(self.reader.models()) | self._met()
        return self._met()

    def _met(self) -> set[str]:
        return {info.key.removeprefix(keys.STATE_PREFIX) for info in self._region_store.list(keys.STATE_PREFIX)}

    def _obey(self, registry_id: str) -> None:
        self.registry_id = registry_id
        self.reader = self._open(self._origin, book=self.reader.book, expected_id=registry_id)
