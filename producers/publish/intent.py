"""A publication under way, noted in the store, so that a rerun completes it, on whatever machine it is run."""

import json
import uuid
from dataclasses import dataclass

from modelcast.producers.origin import retried_put
from modelcast.schemas.errors import Refused
from modelcast.schemas.ports import ObjectStore, PreconditionFailed

INTENT_SIZE_MAX = 4 * 1024


@dataclass(frozen=True, slots=True)
class Intent:
    """The event id under which a publication is claimed; ``begun_before``: an earlier run noted it."""

    key: str
    event_id: str
    begun_before: bool


def read_intent(store: ObjectStore, key: str) -> Intent | None:
    """The intent at ``key``, if there is one.

    Raises:
        Refused: something else lies there.
    """
    found = store.get(key, size_max=INTENT_SIZE_MAX)
    if found is None:
        return None
    try:
        event_id = json.loads(found.body)["event_id"]
    except (ValueError, TypeError, KeyError, RecursionError):
        event_id = None
    if not isinstance(event_id, str) or not event_id:
        raise Refused("not a publication's intent", subject=f"{store.name}/{key}", hint="delete it and publish again")
    return Intent(key, event_id, begun_before=True)


def note_intent(store: ObjectStore, key: str) -> Intent:
    """Note that this publication is under way, or find that it was already."""
    while True:
        event_id = uuid.uuid4().hex
        body = json.dumps({"event_id": event_id}).encode()
        try:
            retried_put(lambda: store.put(key, body, if_absent=True))  # noqa: B023
            return Intent(key, event_id, begun_before=False)
        except PreconditionFailed:
            found = read_intent(store, key)
        if found is not None:  # else: another publisher of the same bytes has just finished
            return found if found.event_id != event_id else Intent(key, event_id, begun_before=False)
