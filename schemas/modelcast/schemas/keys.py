"""Where things lie in a store. Keys are relative to the store's prefix; nothing else builds keys."""

import re

from modelcast.schemas.digests import hex_of

REGISTRY_ID = "registry/id.json"
REGISTRY_PREFIX = "registry/"
SCHEMA_PREFIX = "registry/schemas/"
STATE_PREFIX = "state/"
_ENTRY = re.compile(r"registry/([a-z0-9][a-z0-9-]{0,62})/log/([0-9]{20})")


def log_prefix(model: str) -> str:
    """The folder of a model's registry log."""
    return f"registry/{model}/log/"


def log_entry(model: str, generation: int) -> str:
    """The entry that claims ``generation``; zero-padded, so that listing order is log order."""
    return f"{log_prefix(model)}{generation:020d}"


def parse_log_entry(key: str) -> tuple[str, int] | None:
    """(model, generation) of a log entry's key, or None for any other key."""
    match = _ENTRY.fullmatch(key)
    return (match[1], int(match[2])) if match else None


def schema(fingerprint_hex: str) -> str:
    """A writer's schema, by the fingerprint that its records carry."""
    return f"{SCHEMA_PREFIX}{fingerprint_hex}.avsc"


def blob(digest: str) -> str:
    """One file's bytes."""
    return f"blobs/sha256/{hex_of(digest)}"


def manifest(digest: str) -> str:
    """One artifact's manifest."""
    return f"manifests/sha256/{hex_of(digest)}"


def intent(model: str, manifest_digest: str) -> str:
    """A publication under way: holds its event id, so that a rerun completes it and never makes a second one."""
    return f"publications/{model}/{hex_of(manifest_digest)}"


def region_state(model: str) -> str:
    """What a region has accepted, staged and serves of a model (in the region's own bucket)."""
    return f"{STATE_PREFIX}{model}"
