"""What the values of the records about rollouts must be, beyond their types."""

import math

from modelcast.schemas.avro.value_checks import (
    BadValue,
    need_count,
    need_digest_or_empty,
    need_identity,
    need_matches,
    need_share,
    need_time,
    need_version,
    need_version_or_none,
)
from modelcast.schemas.digests import DIGEST_PATTERN
from modelcast.schemas.evidence.gates import OUTCOME_NAME, OUTCOMES_MAX, SCORE_BINS
from modelcast.schemas.evidence.means import OUTCOME_MAX
from modelcast.schemas.names import MODEL_PATTERN, REGION_PATTERN
from modelcast.schemas.traffic.outcomes import ObservedOutcome
from modelcast.schemas.traffic.reports import LATENCY_BUCKETS, PodCounts, RolloutState, TrafficReading

VERSIONS_MAX = 64
KEY_CHARS_MAX = 4096


def check_pod_counts(r: PodCounts) -> None:
    """Check a ``PodCounts``. Raises ``BadValue``."""
    for name in ("registry_id", "pod", "incarnation"):
        need_identity(name, getattr(r, name))
    need_matches("model", r.model, MODEL_PATTERN)
    need_matches("region", r.region, REGION_PATTERN)
    for name in ("started_at_us", "counted_at_us"):
        need_time(name, getattr(r, name))
    for name in ("sequence", "table_generation", "table_epoch", "table_sequence"):
        need_count(name, getattr(r, name))
    if len(r.versions) > VERSIONS_MAX:
        raise BadValue(f"versions holds {len(r.versions)} of at most {VERSIONS_MAX}")
    for counts in r.versions:
        need_version("versions.version", counts.version)
        need_matches("versions.manifest_digest", counts.manifest_digest, DIGEST_PATTERN)
        if len(counts.latency) > LATENCY_BUCKETS:
            raise BadValue(f"versions.latency holds {len(counts.latency)} of at most {LATENCY_BUCKETS}")
        for value in counts.latency:
            need_count("versions.latency", value)
        for name in ("requests", "failed", "timed_out", "refused", "rejected", "slow", "slow_harmful", "slow_harmless"):
            need_count(f"versions.{name}", getattr(counts, name))
        for name in ("bad_answers", "shadow_agree", "shadow_differ", "looked", "empty", "repeated"):
            need_count(f"versions.{name}", getattr(counts, name))
        if len(counts.scores) > SCORE_BINS:
            raise BadValue(f"versions.scores holds {len(counts.scores)} of at most {SCORE_BINS}")
        for value in counts.scores:
            need_count("versions.scores", value)


def check_traffic_reading(r: TrafficReading) -> None:
    """Check a ``TrafficReading``. Raises ``BadValue``."""
    for name in ("registry_id", "worker"):
        need_identity(name, getattr(r, name))
    need_matches("model", r.model, MODEL_PATTERN)
    need_matches("region", r.region, REGION_PATTERN)
    need_time("reported_at_us", r.reported_at_us)
    for name in ("epoch", "sequence", "generation", "pods_expected", "control_ready", "candidate_ready"):
        need_count(name, getattr(r, name))
    for name in ("pods_in_force", "table_generation", "table_epoch", "table_sequence"):
        need_count(name, getattr(r, name))
    need_share("share", r.share)


def check_observed_outcome(r: ObservedOutcome) -> None:
    """Check an ``ObservedOutcome``. Raises ``BadValue``."""
    need_matches("model", r.model, MODEL_PATTERN)
    need_matches("name", r.name, OUTCOME_NAME)
    if not -OUTCOME_MAX <= r.value <= OUTCOME_MAX:  # also: not a number
        raise BadValue(f"value is {r.value}, not a number from -10**12 to 10**12")
    need_time("at_us", r.at_us)
    need_identity("id", r.id)
    need_version_or_none("version", r.version)
    if len(r.key) > KEY_CHARS_MAX:
        raise BadValue(f"key holds {len(r.key)} characters of at most {KEY_CHARS_MAX}")
    if r.region:
        need_matches("region", r.region, REGION_PATTERN)


def check_rollout_state(r: RolloutState) -> None:
    """Check a ``RolloutState``. Raises ``BadValue``."""
    for name in ("registry_id", "rollout", "phase", "strategy"):
        need_identity(name, getattr(r, name))
    need_matches("model", r.model, MODEL_PATTERN)
    for name in ("generation", "epoch", "control_requests", "candidate_requests", "wave", "waves", "steps"):
        need_count(name, getattr(r, name))
    need_version("candidate", r.candidate)
    need_version_or_none("control", r.control)
    need_time("updated_at_us", r.updated_at_us)
    need_share("share", r.share)
    need_digest_or_empty("evidence", r.evidence)
    for region in r.regions:
        need_matches("regions.region", region.region, REGION_PATTERN)
        need_share("regions.ceiling", region.ceiling)
        need_share("regions.share", region.share)
        for name in ("pods_expected", "candidate_ready", "control_requests", "candidate_requests"):
            need_count(f"regions.{name}", getattr(region, name))
        need_time("regions.heard_at_us", region.heard_at_us)
    for gate in r.gates:
        for name in ("control_events", "candidate_events"):
            need_count(f"gates.{name}", getattr(gate, name))
        for name in ("log_e_harmful", "log_e_harmless", "needed_harmful", "needed_harmless"):
            if not math.isfinite(getattr(gate, name)):
                raise BadValue(f"gates.{name} is {getattr(gate, name)}, which is not finite")
    if len(r.outcomes) > OUTCOMES_MAX:
        raise BadValue(f"outcomes holds {len(r.outcomes)} of at most {OUTCOMES_MAX}")
    for outcome in r.outcomes:
        need_matches("outcomes.name", outcome.name, OUTCOME_NAME)
        for name in ("control_count", "candidate_count"):
            need_count(f"outcomes.{name}", getattr(outcome, name))
        for name in ("control_mean", "candidate_mean", "low", "high"):
            value = getattr(outcome, name)
            if value is not None and not math.isfinite(value):
                raise BadValue(f"outcomes.{name} is {value}, which is not finite")
