"""Putting a registry's id back where it was deleted or damaged: every entry of its logs names it."""

import hashlib

from modelcast.infra.registry.reader import RegistryReader
from modelcast.schemas import keys
from modelcast.schemas.errors import ModelcastError, NotFound, Refused, TransportError
from modelcast.schemas.log.registry_id import decode_registry_id, encode_registry_id
from modelcast.schemas.ports import PreconditionFailed

MODELS_MAX = 1_000
"""Logs of which the first entry is read."""
DAMAGED_SIZE_MAX = 1024 * 1024


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


def restore_id(reader: RegistryReader, registry_id: str) -> str:
    """Put the id back. It never replaces one that can be read; bytes that can't are kept beside it.

    Returns:
        The key under which damaged bytes are kept; "" if there were none.

    Raises:
        Refused: there is an id, or something else was written there meanwhile.
        ContentError: what lies there is larger than 1 MiB.
        StoreUnavailable: the store did not answer.
    """
    store, body = reader.store, encode_registry_id(registry_id)
    subject = f"{store.name}/{keys.REGISTRY_ID}"
    found = store.get(keys.REGISTRY_ID, size_max=DAMAGED_SIZE_MAX)
    kept = ""
    try:
        if found is None:
            store.put(keys.REGISTRY_ID, body, if_absent=True)
            return kept
        if (known := _id_in(found.body)) is not None:
            raise Refused(f"the registry has an id, {known[:80]}", subject=subject, hint="nothing was changed")
        kept = f"{keys.REGISTRY_ID}.damaged-{hashlib.sha256(found.body).hexdigest()[:12]}"
        store.put(kept, found.body)
        store.put(keys.REGISTRY_ID, body, if_match=found.info.etag)
    except PreconditionFailed:
        raise Refused("something else wrote there meanwhile", subject=subject, hint="run it again") from None
    return kept


def _id_in(body: bytes) -> str | None:
    try:
        return decode_registry_id(body, subject="", hint="")
    except Refused:
        return None
