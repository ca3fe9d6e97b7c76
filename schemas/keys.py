"""Where things lie in a store. Keys are relative to the store's prefix; nothing else builds keys."""

import re
from datetime import UTC, datetime, timedelta

from modelcast.schemas.digests import hex_of

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
REGISTRY_ID = "registry/id.json"
REGISTRY_PREFIX = "registry/"
SCHEMA_PREFIX = "registry/schemas/"
TRUST_PREFIX = "trust/"
STATE_PREFIX = "state/"
TRANSFERS = "transfers"  # in a region's own bucket: who of its workers reads what from the origin
PODS_PREFIX = "pods/"  # in a region's own bucket: the pods that register themselves
_ENTRY = re.compile(r"registry/([a-z0-9][a-z0-9-]{0,62})/log/([0-9]{20})")
_WHOLE = "whole"
_DELTA = re.compile(r"deltas/sha256/([0-9a-f]{64})/([0-9a-f]{64})\.([0-9a-f]{64}|whole)")


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


def trust_file(name: str) -> str:
    """One of the policy's files, as ``1.root.json`` or ``timestamp.json``."""
    return f"{TRUST_PREFIX}{name}"


def schema(fingerprint_hex: str) -> str:
    """A writer's schema, by the fingerprint that its records carry."""
    return f"{SCHEMA_PREFIX}{fingerprint_hex}.avsc"


def blob(digest: str) -> str:
    """One file's bytes."""
    return f"blobs/sha256/{hex_of(digest)}"


def manifest(digest: str) -> str:
    """One artifact's manifest."""
    return f"manifests/sha256/{hex_of(digest)}"


def delta_prefix(manifest_digest: str) -> str:
    """The folder of the deltas that make files of one artifact."""
    return f"deltas/sha256/{hex_of(manifest_digest)}/"


def delta(manifest_digest: str, new_digest: str, old_digest: str | None) -> str:
    """What makes one file of an artifact out of another file; None: out of nothing, a compressed whole."""
    return f"{delta_prefix(manifest_digest)}{hex_of(new_digest)}.{hex_of(old_digest) if old_digest else _WHOLE}"


def parse_delta(key: str) -> tuple[str, str, str | None] | None:
    """(manifest digest, new file's digest, old file's digest or None) of a delta's key, or None for any other key."""
    match = _DELTA.fullmatch(key)
    if match is None:
        return None
    return f"sha256:{match[1]}", f"sha256:{match[2]}", None if match[3] == _WHOLE else f"sha256:{match[3]}"


def intent(model: str, manifest_digest: str) -> str:
    """A publication under way: holds its event id, so that a rerun completes it and never makes a second one."""
    return f"publications/{model}/{hex_of(manifest_digest)}"


AUDIT_PREFIX = "audit/"


def audit_entry(at_us: int, unique: str) -> str:
    """What somebody did, by when; ``unique`` tells apart what was done at the same time. Listing order is by time."""
    return f"{AUDIT_PREFIX}{_day(at_us)}/{at_us:020d}-{unique}.json"


def audit_before(at_us: int) -> str:
    """A key that lists before all that was done from then on, and behind all that was done earlier."""
    return f"{AUDIT_PREFIX}{_day(at_us)}/{at_us:020d}"


def _day(at_us: int) -> str:
    return (EPOCH + timedelta(microseconds=at_us)).strftime("%Y-%m-%d")


HISTORY_PREFIX = "history/"
_SEGMENT = re.compile(r"history/changes/([0-9]{3})/([0-9]{20})-([0-9]{20})\.(avro|through)")


def changes_prefix(partition: int) -> str:
    """The folder of the archived changes of one partition of ``version-changes``."""
    return f"{HISTORY_PREFIX}changes/{partition:03d}/"


def changes_segment(partition: int, first_at_us: int, first_offset: int) -> str:
    """Archived changes, by the time and offset of the first; who archives the same ones makes the same key."""
    return f"{changes_prefix(partition)}{first_at_us:020d}-{first_offset:020d}.avro"


def changes_through(partition: int, at_us: int, offset: int) -> str:
    """A mark: all changes up to this time, and below this offset, are archived."""
    return f"{changes_prefix(partition)}{at_us:020d}-{offset:020d}.through"


def parse_changes(key: str) -> tuple[int, int, bool] | None:
    """(time, offset, whether it is a segment) of a key in a folder of changes; None for any other key."""
    match = _SEGMENT.fullmatch(key)
    return (int(match[2]), int(match[3]), match[4] == "avro") if match else None


def generation_record(model: str, generation: int) -> str:
    """How one generation of a model went, once it is over."""
    return f"{HISTORY_PREFIX}generations/{model}/{generation:020d}.json.gz"


def traffic_table(model: str) -> str:
    """The table of shares in force; conditional puts only."""
    return f"traffic/{model}"


def rollout_evidence(model: str, rollout: str, digest: str) -> str:
    """What a decision of a rollout was based on, by the SHA-256 of its bytes."""
    return f"rollouts/{model}/{rollout}/{hex_of(digest)}"


def rollout_verdict(model: str, rollout: str, digest: str) -> str:
    """The verdict that was found in that evidence."""
    return f"{rollout_evidence(model, rollout, digest)}.verdict"


def rollout_progress(model: str, rollout: str) -> str:
    """What the controller of a rollout has seen so far, for the one that takes over."""
    return f"rollouts/{model}/{rollout}/progress"


def region_state(model: str) -> str:
    """What a region has accepted, staged and serves of a model (in the region's own bucket)."""
    return f"{STATE_PREFIX}{model}"


def pod_registration(name: str) -> str:
    """What a pod that registers itself says of itself (in the region's own bucket)."""
    return f"{PODS_PREFIX}{name}"
