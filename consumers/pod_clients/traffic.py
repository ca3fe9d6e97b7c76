"""How a pod of ours reports the division of a model's requests: by which table, and what it counted."""

from dataclasses import asdict, fields
from typing import Any

import orjson

from modelcast.consumers.pod_clients.port import PodTraffic, PodUnreachable
from modelcast.schemas.digests import DIGEST_PATTERN
from modelcast.schemas.evidence.gates import SCORE_BINS
from modelcast.schemas.names import VERSION_MAX
from modelcast.schemas.traffic.reports import LATENCY_BUCKETS, VersionCounts

VERSIONS_MAX = 32
COUNT_MAX = 2**63 - 1
TEXT_MAX = 256
_NO_COUNTS = {"version", "manifest_digest", "ready", "latency", "scores"}
_COUNTS = tuple(field.name for field in fields(VersionCounts) if field.name not in _NO_COUNTS)
_BY_VERSION = ("shares", "keyless", "shadow_dropped")


def encode_pod_traffic(traffic: PodTraffic) -> bytes:
    """The reading as JSON."""
    return orjson.dumps(asdict(traffic), option=orjson.OPT_NON_STR_KEYS)


def decode_pod_traffic(body: Any, pod: str) -> PodTraffic:
    """Read parsed JSON, as the pod of that name answered it.

    Raises:
        PodUnreachable: it makes no sense: nothing is known then.
    """
    try:
        generation, epoch, sequence = (_count(number) for number in body["authority"])
        digest, versions = body["table_digest"], body["versions"]
        if digest != "" and not DIGEST_PATTERN.fullmatch(digest):
            raise ValueError("table_digest")
        if any(not isinstance(body[name], str) or len(body[name]) > TEXT_MAX for name in ("incarnation", "rollout")):
            raise ValueError("incarnation or rollout")
        if len(versions) > VERSIONS_MAX:
            raise ValueError("versions")
        return PodTraffic(
            pod=pod,
            incarnation=body["incarnation"],
            started_at_us=_count(body["started_at_us"]),
            sequence=_count(body["sequence"]),
            authority=(generation, epoch, sequence),
            table_digest=digest,
            rollout=body["rollout"],
            versions=tuple(_version(found) for found in versions),
            **{name: {_count(int(v)): _count(n) for v, n in body[name].items()} for name in _BY_VERSION},
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise PodUnreachable(f"its counts can't be read: {str(error)[:200]}", subject=pod) from None


def _version(found: Any) -> VersionCounts:
    version, digest = _count(found["version"]), found["manifest_digest"]
    latency = tuple(_count(number) for number in found["latency"])
    scores = tuple(_count(number) for number in found["scores"])
    if not DIGEST_PATTERN.fullmatch(digest) or not 1 <= version <= VERSION_MAX:
        raise ValueError("a version")
    if len(latency) > LATENCY_BUCKETS or len(scores) > SCORE_BINS:
        raise ValueError("latency or scores")
    counts = {name: _count(found[name]) for name in _COUNTS}
    return VersionCounts(version, digest, ready=found["ready"] is True, latency=latency, scores=scores, **counts)


def _count(value: Any) -> int:
    if type(value) is not int or not 0 <= value <= COUNT_MAX:
        raise ValueError(f"not a count: {str(value)[:80]!r}")
    return value
