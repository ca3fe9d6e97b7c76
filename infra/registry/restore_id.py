"""Putting a registry's id back where it was deleted: every entry of its logs names it."""

from modelcast.infra.registry.reader import RegistryReader
from modelcast.schemas import keys
from modelcast.schemas.errors import ModelcastError, NotFound, Refused, TransportError
from modelcast.schemas.log.registry_id import encode_registry_id
from modelcast.schemas.ports import PreconditionFailed

MODELS_MAX = 1_000
"""Logs of which the first entry is read."""


def named_ids(reader: RegistryReader) -> dict[str, list[str]]:
    """The ids that logs name in their first entries, each with the models whose logs do; a damaged entry names none.

    Raises:
        NotFound: the store holds no logs.
        StoreUnavailable: it did not answer.
    """
    models = reader.models()
    if not models:
        raise NotFound(
            "the store holds no logs, so nothing was lost",
            subject=reader.store.name,
            hint="the first publication makes the registry; is the origin store's url right?",
        )
    found: dict[str, list[str]] = {}
    for model in models[:MODELS_MAX]:
        try:
            timed = reader.entry(model, 1)
        except TransportError:
            raise
        except ModelcastError:
            continue
        if timed is not None:
            found.setdefault(timed.entry.registry_id, []).append(model)
    return found


def restore_id(reader: RegistryReader, registry_id: str) -> None:
    """Put the id back. It never replaces one that is there.

    Raises:
        Refused: there is an id.
        StoreUnavailable: the store did not answer.
    """
    try:
        reader.store.put(keys.REGISTRY_ID, encode_registry_id(registry_id), if_absent=True)
    except PreconditionFailed:
        raise Refused(
            "the registry has an id", subject=f"{reader.store.name}/{keys.REGISTRY_ID}", hint="nothing was changed"
        ) from None
