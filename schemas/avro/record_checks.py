"""What a record's values must be, beyond their types. The same rules hold for what is written and what is read.

Every check raises ``BadValue``, which says the field and what it holds; the codec turns it into its own errors.
"""

import re
from collections.abc import Callable

from modelcast.schemas.avro.any_record import Record
from modelcast.schemas.avro.traffic_checks import (
    check_observed_outcome,
    check_pod_counts,
    check_rollout_state,
    check_traffic_reading,
)
from modelcast.schemas.avro.value_checks import (
    IDENTITY_CHARS_MAX,
    LONG_MAX,
    TIME_US_MAX,
    BadValue,
)
from modelcast.schemas.avro.value_checks import need_count as _count
from modelcast.schemas.avro.value_checks import need_digest_or_empty as _digest_or_empty
from modelcast.schemas.avro.value_checks import need_identity as _identity
from modelcast.schemas.avro.value_checks import need_matches as _matches
from modelcast.schemas.avro.value_checks import need_numbers as _numbers
from modelcast.schemas.avro.value_checks import need_rate as _rate
from modelcast.schemas.avro.value_checks import need_rate_or_none as _rate_or_none
from modelcast.schemas.avro.value_checks import need_time as _time
from modelcast.schemas.avro.value_checks import need_version as _version
from modelcast.schemas.avro.value_checks import need_version_or_none as _version_or_none
from modelcast.schemas.digests import DIGEST_PATTERN
from modelcast.schemas.evidence.counts import SHARES
from modelcast.schemas.log.verbs import RULES
from modelcast.schemas.manifest import FILES_MAX
from modelcast.schemas.names import ALIAS_PATTERN, MODEL_PATTERN, REGION_PATTERN, VERSION_MAX
from modelcast.schemas.probes import Probe, ProbeAnswer, ProbeState
from modelcast.schemas.records import (
    ALL_OF_THEM,
    ALL_REGIONS,
    CommandKind,
    DeadLetter,
    LogPosition,
    ModelAck,
    ModelCommand,
    ModelUpdate,
    PodReport,
    RegionHeartbeat,
    RegionState,
    StageSpan,
    Statement,
    VersionChange,
    VersionState,
)
from modelcast.schemas.topics import DEAD_LETTER_KEPT_MAX, MODEL_PARTITIONS
from modelcast.schemas.traffic.outcomes import ObservedOutcome
from modelcast.schemas.traffic.reports import PodCounts, RolloutState, TrafficReading
from modelcast.schemas.traffic.steps_and_gates import PLAN_SIZE_MAX
from modelcast.schemas.trust.envelope import SIGNATURE_SIZE_MAX, SIGNATURES_MAX, Signed
from modelcast.schemas.unchanged import UNCHANGED_MAX, StatesUnchanged

PODS_PER_PAGE_MAX = 1_000
PAGES_MAX = 100
"""Pages of a snapshot: 100,000 pods of a region. What never completes is kept, so it must have an end."""
SPANS_MAX = 64
SPAN_MS_MAX = 10 * 366 * 24 * 3600 * 1000
POSITIONS_MAX = 1_000

_STATUS = re.compile(r"[A-Z]{2,16}")


def check(record: Record) -> None:
    """Check a record's values.

    Raises:
        BadValue: one is not allowed; the message names it.
    """
    _CHECKS[type(record)](record)


def _update(r: ModelUpdate) -> None:
    _entry(r.registry_id, r.event_id, r.model, r.generation)
    _version("version", r.version)
    _identity("artifact.store", r.artifact.store)
    _identity("artifact.manifest_key", r.artifact.manifest_key, 1024)
    _matches("artifact.manifest_digest", r.artifact.manifest_digest, DIGEST_PATTERN)
    _count("artifact.size_bytes", r.artifact.size_bytes)
    if not 1 <= r.artifact.file_count <= FILES_MAX:
        raise BadValue(f"artifact.file_count is {r.artifact.file_count}, not 1 to {FILES_MAX}")
    _time("published_at_us", r.published_at_us)
    for region in r.placement:
        _matches("placement", region, REGION_PATTERN)
    _numbers("metrics", r.metrics)
    for hint in r.delta_hints:
        if hint.base_version:  # 0: a compressed whole
            _version("delta_hints.base_version", hint.base_version)
        _count("delta_hints.size_bytes", hint.size_bytes)


def _command(r: ModelCommand) -> None:
    _entry(r.registry_id, r.event_id, r.model, r.generation)
    if not r.targets:
        raise BadValue("targets is empty")
    rule = RULES[r.kind]
    for target in r.targets:
        if target.region != ALL_REGIONS:
            _matches("targets.region", target.region, REGION_PATTERN)
        if (target.version is not None) != rule.takes_version:
            raise BadValue(f"targets.version is {target.version!r}, which {r.kind} does not go with")
        _version_or_none("targets.version", target.version)
        if (target.share is not None) != rule.takes_share:
            raise BadValue(f"targets.share is {target.share!r}, which {r.kind} does not go with")
        if not 0 <= (target.share or 0) <= SHARES:
            raise BadValue(f"targets.share is {target.share}, not 0 to {SHARES}")
    _rollout_fields(r)
    _time("requested_at_us", r.requested_at_us)
    if rule.takes_alias:
        _matches("alias", r.alias, ALIAS_PATTERN)
    elif r.alias:
        raise BadValue(f"alias is set, but {r.kind} does not go with one")
    if bool(r.replaces) != rule.takes_positions:
        raise BadValue(f"replaces holds {len(r.replaces)}, which {r.kind} does not go with")
    if len(r.replaces) > POSITIONS_MAX:
        raise BadValue(f"replaces holds {len(r.replaces)} of at most {POSITIONS_MAX}")
    for position in r.replaces:
        _position("replaces", position)


def _rollout_fields(r: ModelCommand) -> None:
    of_rollout = RULES[r.kind].change_rollout is not None
    if bool(r.rollout) != of_rollout:
        raise BadValue(f"rollout is {r.rollout[:80]!r}, which {r.kind} does not go with")
    if of_rollout:
        _identity("rollout", r.rollout)
    if bool(r.plan) != (r.kind is CommandKind.ROLLOUT_START):
        raise BadValue(f"plan holds {len(r.plan)} characters, which {r.kind} does not go with")
    if len(r.plan) > PLAN_SIZE_MAX:
        raise BadValue(f"plan holds {len(r.plan)} of at most {PLAN_SIZE_MAX} characters")
    _digest_or_empty("evidence", r.evidence)
    _time("not_before_us", r.not_before_us)
    if r.not_before_us and r.kind is not CommandKind.ROLLOUT_STEP:
        raise BadValue(f"not_before_us is set, which {r.kind} does not go with")


def _ack(r: ModelAck) -> None:
    _identity("registry_id", r.registry_id)
    _matches("model", r.model, MODEL_PATTERN)
    _matches("region", r.region, REGION_PATTERN)
    _identity("worker", r.worker)
    for name in ("epoch", "sequence", "generation", "staged_generation", "pods_expected", "attempts"):
        _count(name, getattr(r, name))
    for name in ("bytes_moved", "bytes_saved", "bytes_total", "bytes_planned"):
        _count(name, getattr(r, name))
    _rate("bytes_per_second", r.bytes_per_second)
    if not 0 <= r.page < r.pages:
        raise BadValue(f"page is {r.page} of {r.pages}")
    if r.pages > PAGES_MAX:
        raise BadValue(f"pages is {r.pages} of at most {PAGES_MAX}, which hold {PAGES_MAX * PODS_PER_PAGE_MAX:,} pods")
    _version_or_none("version", r.version)
    _version_or_none("staged_version", r.staged_version)
    _version_or_none("refused_version", r.refused_version)
    _digest_or_empty("manifest_digest", r.manifest_digest)
    _time("reported_at_us", r.reported_at_us)
    _time("spans_since_us", r.spans_since_us)
    _spans("spans", r.spans)
    _digest_or_empty("log_digest", r.log_digest)
    if len(r.pods) > PODS_PER_PAGE_MAX:
        raise BadValue(f"pods holds {len(r.pods)} of at most {PODS_PER_PAGE_MAX} in a page")
    _pods(r.pods)


def _pods(pods: tuple[PodReport, ...]) -> None:
    # A thousand times in a record: one comparison a field, and a digest that was seen is not matched again.
    seen = {""}
    for pod in pods:
        if not pod.pod or len(pod.pod) > IDENTITY_CHARS_MAX:
            _identity("pods.pod", pod.pod)
        version = pod.version
        if version is not None and not 1 <= version <= VERSION_MAX:
            _version("pods.version", version)
        if pod.manifest_digest not in seen:
            _matches("pods.manifest_digest", pod.manifest_digest, DIGEST_PATTERN)
            seen.add(pod.manifest_digest)
        if not 0 <= pod.generation <= LONG_MAX:
            _count("pods.generation", pod.generation)
        if not 0 <= pod.read_at_us < TIME_US_MAX:
            _time("pods.read_at_us", pod.read_at_us)


def _heartbeat(r: RegionHeartbeat) -> None:
    _identity("registry_id", r.registry_id)
    _matches("region", r.region, REGION_PATTERN)
    _identity("worker", r.worker)
    for name in ("sequence", "models_owned", "disk_free_bytes", "cache_used_bytes"):
        _count(name, getattr(r, name))
    _rate("origin_bytes_per_second", r.origin_bytes_per_second)
    _time("started_at_us", r.started_at_us)
    _time("sent_at_us", r.sent_at_us)


def _spans(name: str, spans: tuple[StageSpan, ...]) -> None:
    if len(spans) > SPANS_MAX:
        raise BadValue(f"{name} holds {len(spans)} of at most {SPANS_MAX}")
    for span in spans:
        _identity(f"{name}.stage", span.stage)
        for value in (span.begun_ms, span.ended_ms or 0):
            if abs(value) > SPAN_MS_MAX:
                raise BadValue(f"{name}: {value} ms from the generation is no time in it")
        _count(f"{name}.busy_ms", span.busy_ms)


def _version_state(r: VersionState) -> None:
    _identity("registry_id", r.registry_id)
    _matches("model", r.model, MODEL_PATTERN)
    _count("head_generation", r.head_generation)
    for name in ("latest_version", "consistent_version", "last_consistent_version"):
        _version_or_none(name, getattr(r, name))
    for name in ("consistent_since_us", "skew_since_us", "updated_at_us", "behind_since_us", "as_of_us"):
        _time(name, getattr(r, name))
    _count("skew", r.skew)
    _count("regions_omitted", r.regions_omitted)
    for region in r.regions:
        _region_state(region)


def _states_unchanged(r: StatesUnchanged) -> None:
    _identity("registry_id", r.registry_id)
    _partition(r.partition)
    for name in ("updated_at_us", "heard_at_us"):
        _time(name, getattr(r, name))
    if len(r.models) > UNCHANGED_MAX:
        raise BadValue(f"models holds {len(r.models)} of at most {UNCHANGED_MAX}")
    for row in r.models:
        _matches("models.model", row.model, MODEL_PATTERN)
        for name in ("said_at_us", "as_of_us", "read_at_us"):
            _time(f"models.{name}", getattr(row, name))


def _region_state(r: RegionState) -> None:
    _matches("regions.region", r.region, REGION_PATTERN)
    for name in (
        "aspired_version",
        "staged_version",
        "refused_version",
        "served_version",
        "pinned_version",
        "reported_version",
    ):
        _version_or_none(f"regions.{name}", getattr(r, name))
    for name in ("aspired_generation", "staged_generation", "served_generation", "error_generation", "owner_epoch"):
        _count(f"regions.{name}", getattr(r, name))
    for name in ("pods_serving", "pods_expected"):
        _count(f"regions.{name}", getattr(r, name))
    for name in ("bytes_moved", "bytes_saved", "bytes_total", "bytes_planned", "pods_omitted"):
        _count(f"regions.{name}", getattr(r, name))
    _rate("regions.bytes_per_second", r.bytes_per_second)
    _digest_or_empty("regions.aspired_digest", r.aspired_digest)
    _time("regions.behind_since_us", r.behind_since_us)
    _time("regions.reported_at_us", r.reported_at_us)
    _time("regions.heard_at_us", r.heard_at_us)
    _time("regions.read_at_us", r.read_at_us)
    _time("regions.moved_at_us", r.moved_at_us)
    _time("regions.spans_since_us", r.spans_since_us)
    _spans("regions.spans", r.spans)
    _pods(r.pods)


def _version_change(r: VersionChange) -> None:
    _identity("registry_id", r.registry_id)
    _matches("model", r.model, MODEL_PATTERN)
    if r.region != ALL_OF_THEM:
        _matches("region", r.region, REGION_PATTERN)
    _matches("status", r.status, _STATUS)
    for name in ("changed_at_us", "confirmed_at_us", "reported_at_us"):
        _time(name, getattr(r, name))
    for name in ("generation", "pods_serving", "pods_expected"):
        _count(name, getattr(r, name))
    _version_or_none("version", r.version)
    _digest_or_empty("manifest_digest", r.manifest_digest)


def _dead_letter(r: DeadLetter) -> None:
    _identity("source_topic", r.source_topic)
    _identity("reason", r.reason)
    for name in ("source_partition", "source_offset"):
        if not -1 <= getattr(r, name) <= LONG_MAX:
            raise BadValue(f"{name} is {getattr(r, name)}")
    if len(r.raw) > DEAD_LETTER_KEPT_MAX:
        raise BadValue(f"raw holds {len(r.raw)} of at most {DEAD_LETTER_KEPT_MAX} bytes")
    if not len(r.raw) <= r.raw_size_bytes <= LONG_MAX:
        raise BadValue(f"raw_size_bytes is {r.raw_size_bytes}, but {len(r.raw)} are here")
    _matches("raw_digest", r.raw_digest, DIGEST_PATTERN)
    _time("reported_at_us", r.reported_at_us)


def _statement(r: Statement) -> None:
    for name in ("schema_digest", "log_digest", "said_digest"):
        _matches(name, getattr(r, name), DIGEST_PATTERN)
    if not 1 <= r.log_generation <= LONG_MAX:
        raise BadValue(f"log_generation is {r.log_generation}; the first is 1")


def _signed(r: Signed) -> None:
    _identity("payload_type", r.payload_type)
    if len(r.signatures) > SIGNATURES_MAX:
        raise BadValue(f"signatures holds {len(r.signatures)} of at most {SIGNATURES_MAX}")
    for each in r.signatures:
        _identity("signatures.keyid", each.keyid)
        if not 1 <= len(each.sig) <= SIGNATURE_SIZE_MAX:
            raise BadValue(f"signatures.sig holds {len(each.sig)} bytes, not 1 to {SIGNATURE_SIZE_MAX}")
    if len({each.keyid for each in r.signatures}) < len(r.signatures):
        raise BadValue("signatures names a key twice")


def _probe(r: Probe) -> None:
    for name in ("registry_id", "probe_id", "worker"):
        _identity(name, getattr(r, name))
    _time("sent_at_us", r.sent_at_us)


def _probe_answer(r: ProbeAnswer) -> None:
    for name in ("registry_id", "probe_id", "worker"):
        _identity(name, getattr(r, name))
    _matches("region", r.region, REGION_PATTERN)
    _time("announced_at_us", r.announced_at_us)


def _probe_state(r: ProbeState) -> None:
    for name in ("registry_id", "probe_id", "worker"):
        _identity(name, getattr(r, name))
    _partition(r.partition)
    _rate("every_seconds", r.every_seconds)
    for name in ("sent_at_us", "updated_at_us", "answered_at_us"):
        _time(name, getattr(r, name))
    for name in ("day", "finished_today", "lost_today"):
        _count(name, getattr(r, name))
    for name in ("log_seconds", "kafka_seconds", "tracker_seconds"):
        _rate_or_none(name, getattr(r, name))
    for region in r.regions:
        _matches("regions.region", region.region, REGION_PATTERN)
        _time("regions.answered_at_us", region.answered_at_us)
        _rate_or_none("regions.seconds", region.seconds)
        _count("regions.lost_today", region.lost_today)


_CHECKS: dict[type, Callable[..., None]] = {
    ModelUpdate: _update,
    ModelCommand: _command,
    ModelAck: _ack,
    RegionHeartbeat: _heartbeat,
    VersionState: _version_state,
    StatesUnchanged: _states_unchanged,
    VersionChange: _version_change,
    DeadLetter: _dead_letter,
    Statement: _statement,
    Signed: _signed,
    Probe: _probe,
    ProbeAnswer: _probe_answer,
    ProbeState: _probe_state,
    PodCounts: check_pod_counts,
    TrafficReading: check_traffic_reading,
    RolloutState: check_rollout_state,
    ObservedOutcome: check_observed_outcome,
}


def _entry(registry_id: str, event_id: str, model: str, generation: int) -> None:
    _identity("registry_id", registry_id)
    _identity("event_id", event_id)
    _matches("model", model, MODEL_PATTERN)
    if not 1 <= generation <= LONG_MAX:
        raise BadValue(f"generation is {generation}; the first is 1")


def _partition(number: int) -> None:
    if not 0 <= number < MODEL_PARTITIONS:
        raise BadValue(f"partition is {number}, not 0 to {MODEL_PARTITIONS - 1}")


def _position(name: str, position: LogPosition) -> None:
    if not 1 <= position.generation <= LONG_MAX:
        raise BadValue(f"{name}.generation is {position.generation}; the first is 1")
    _matches(f"{name}.digest", position.digest, DIGEST_PATTERN)
