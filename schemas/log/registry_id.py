"""The bytes of a registry's id, as they lie in the origin store and in the bucket of each region that obeys it."""

import hashlib
import json

from modelcast.schemas.errors import Refused

REGISTRY_ID_SIZE_MAX = 4 * 1024


def encode_registry_id(registry_id: str) -> bytes:
    """The bytes that say so, with a checksum: a bit that flips at rest must not make another registry of this one."""
    return json.dumps({"registry_id": registry_id, "sha256": _checksum(registry_id)}, sort_keys=True).encode()


def decode_registry_id(body: bytes, *, subject: str, hint: str) -> str:
    """The id.

    Args:
        body: what was read.
        subject: where it lies.
        hint: what a person can do if it is none.

    Raises:
        Refused: something else lies there, or its checksum is another.
    """
    try:
        read = json.loads(body)
        found, checksum = read["registry_id"], read["sha256"]
    except (ValueError, TypeError, KeyError, RecursionError):
        found = checksum = None
    if not isinstance(found, str) or not found or checksum != _checksum(found):
        raise Refused("not a registry id", subject=subject, hint=hint)
    return found


def _checksum(registry_id: str) -> str:
    return hashlib.sha256(registry_id.encode("utf-8", "surrogatepass")).hexdigest()
