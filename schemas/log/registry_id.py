"""The bytes of a registry's id, as they lie in the origin store and in the bucket of each region that obeys it."""

import json

from modelcast.schemas.errors import Refused

REGISTRY_ID_SIZE_MAX = 4 * 1024


def encode_registry_id(registry_id: str) -> bytes:
    """The bytes that say so."""
    return json.dumps({"registry_id": registry_id}, sort_keys=True).encode()


def decode_registry_id(body: bytes, *, subject: str, hint: str) -> str:
    """The id.

    Args:
        body: what was read.
        subject: where it lies.
        hint: what a person can do if it is none.

    Raises:
        Refused: something else lies there.
    """
    try:
        found = json.loads(body)["registry_id"]
    except (ValueError, TypeError, KeyError, RecursionError):
        found = None
    if not isinstance(found, str) or not found:
        raise Refused("not a registry id", subject=subject, hint=hint)
    return found
