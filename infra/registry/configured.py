"""The registry that the settings name, with the trust that they pin."""

from functools import partial

from modelcast.infra.registry.entry_trust import TrustSource
from modelcast.infra.registry.reader import RegistryReader
from modelcast.infra.settings import Settings
from modelcast.infra.stores import configured as stores
from modelcast.schemas.log.statements import Sign
from modelcast.schemas.ports import ObjectStore


def registry_of(
    settings: Settings, store: ObjectStore | None = None, *, expected_id: str | None = None
) -> RegistryReader:
    """The registry in the origin store: what it reads is verified, and what is claimed through it signed, as they say.

    Args:
        settings: where it is, what is pinned, and what signs.
        store: instead of the one that they name.
        expected_id: see ``RegistryReader``.

    Raises:
        NotFound: they name no origin store.
    """
    origin = store if store is not None else stores.origin_store(settings)
    return registry_opener(settings, origin)(origin, expected_id=expected_id)


def registry_opener(settings: Settings, origin: ObjectStore) -> "partial[RegistryReader]":
    """``RegistryReader`` with trust and signer bound, for who opens it again."""
    return partial(RegistryReader, trust=_trust(settings, origin), sign=_sign(settings))


def _trust(settings: Settings, origin: ObjectStore) -> TrustSource | None:
    if not settings.trust.root:
        return None
    from modelcast.infra.trust.configured import policy_reader  # its libraries take a while, and not all need them

    return policy_reader(settings, origin)


def _sign(settings: Settings) -> Sign | None:
    if not settings.trust.keys:
        return None
    from modelcast.infra.trust.configured import ConfiguredSigner

    return ConfiguredSigner(settings)
