"""Hypothesis strategies: any record that may be written."""

from hypothesis import strategies as st

import modelcast.schemas.probes as p
import modelcast.schemas.traffic.outcomes as o
import modelcast.schemas.traffic.reports as t
from modelcast.schemas import records as r
from modelcast.schemas import unchanged as u
from modelcast.schemas.avro.value_checks import LONG_MAX, TIME_US_MAX
from modelcast.schemas.digests import sha256_of
from modelcast.schemas.evidence.gates import OUTCOME_NAME
from modelcast.schemas.log.verbs import RULES
from modelcast.schemas.names import ALIAS_PATTERN, MODEL_PATTERN, VERSION_MAX
from modelcast.schemas.states import PodState, State
from modelcast.schemas.traffic.differences import CUMULATIVE
from modelcast.schemas.traffic.steps_and_gates import READY_MADE, encode_plan

text = st.text(st.characters(codec="utf-8"), max_size=40)
identity = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), min_size=1, max_size=40)
model_names = st.from_regex(MODEL_PATTERN, fullmatch=True)
aliases = st.from_regex(ALIAS_PATTERN, fullmatch=True)
versions = st.integers(1, VERSION_MAX)
maybe_version = st.none() | versions
generations = st.integers(1, LONG_MAX)
counts = st.integers(0, LONG_MAX)
times_us = st.integers(0, TIME_US_MAX - 1)
digests = st.binary(max_size=8).map(sha256_of)
maybe_digest = st.just("") | digests
shares = st.integers(0, 10_000)
outcome_names = st.from_regex(OUTCOME_NAME, fullmatch=True)
finite = st.floats(allow_nan=False, allow_infinity=False)
seconds = st.floats(0, allow_nan=False, allow_infinity=False)
durations = st.dictionaries(text, finite, max_size=4)
positions = st.builds(r.LogPosition, generation=generations, digest=digests)


def _tuples(items: st.SearchStrategy, size_max: int = 4) -> st.SearchStrategy:
    return st.lists(items, max_size=size_max).map(tuple)


artifacts = st.builds(
    r.ArtifactRef,
    store=identity,
    manifest_key=identity,
    manifest_digest=digests,
    size_bytes=counts,
    file_count=st.integers(1, 100_000),
    framework=text,
)
model_updates = st.builds(
    r.ModelUpdate,
    registry_id=identity,
    event_id=identity,
    model=model_names,
    version=versions,
    generation=generations,
    artifact=artifacts,
    published_at_us=times_us,
    placement=_tuples(model_names),
    activation=st.sampled_from(r.Activation),
    publisher=text,
    metrics=st.dictionaries(text, finite, max_size=4),
    labels=st.dictionaries(text, text, max_size=4),
    delta_hints=_tuples(st.builds(r.DeltaHint, base_version=versions, size_bytes=counts)),
)


spans = st.builds(
    r.StageSpan,
    stage=identity,
    begun_ms=st.integers(-(10**9), 10**9),
    ended_ms=st.none() | st.integers(-(10**9), 10**9),
    busy_ms=counts,
)


@st.composite
def model_commands(draw: st.DrawFn) -> r.ModelCommand:
    """A command whose targets and alias go with its kind."""
    kind = draw(st.sampled_from(r.CommandKind))
    regions = st.just(r.ALL_REGIONS) | model_names
    rule = RULES[kind]
    target = st.builds(
        r.CommandTarget,
        region=regions,
        version=versions if rule.takes_version else st.none(),
        share=shares if rule.takes_share else st.none(),
    )
    of_rollout, is_start = rule.change_rollout is not None, kind is r.CommandKind.ROLLOUT_START
    return r.ModelCommand(
        registry_id=draw(identity),
        event_id=draw(identity),
        model=draw(model_names),
        generation=draw(generations),
        kind=kind,
        targets=tuple(draw(st.lists(target, min_size=1, max_size=4))),
        requested_at_us=draw(times_us),
        requested_by=draw(text),
        reason=draw(text),
        alias=draw(aliases) if kind is r.CommandKind.ALIAS else "",
        replaces=tuple(draw(st.lists(positions, min_size=1, max_size=3))) if kind is r.CommandKind.ACCEPT else (),
        rollout=draw(identity) if of_rollout else "",
        plan=encode_plan(READY_MADE[draw(st.sampled_from(sorted(READY_MADE)))]) if is_start else "",
        evidence=draw(maybe_digest),
        not_before_us=draw(times_us) if kind is r.CommandKind.ROLLOUT_STEP else 0,
    )


pod_reports = st.builds(
    r.PodReport,
    pod=identity,
    state=st.sampled_from(PodState),
    version=maybe_version,
    manifest_digest=maybe_digest,
    generation=counts,
    incarnation=text,
    read_at_us=times_us,
    error=text,
)


@st.composite
def model_acks(draw: st.DrawFn) -> r.ModelAck:
    """A page of a snapshot."""
    pages = draw(st.integers(1, 50))
    return draw(
        st.builds(
            r.ModelAck,
            registry_id=identity,
            model=model_names,
            region=model_names,
            worker=identity,
            epoch=counts,
            sequence=counts,
            page=st.integers(0, pages - 1),
            pages=st.just(pages),
            generation=counts,
            version=maybe_version,
            manifest_digest=maybe_digest,
            state=st.sampled_from(State),
            reported_at_us=times_us,
            staged_generation=counts,
            staged_version=maybe_version,
            refused_version=maybe_version,
            pods=_tuples(pod_reports),
            pods_expected=counts,
            bytes_moved=counts,
            bytes_saved=counts,
            bytes_total=counts,
            bytes_planned=counts,
            bytes_per_second=seconds,
            way=text,
            spans_since_us=times_us,
            spans=_tuples(spans),
            attempts=counts,
            error=text,
            log_digest=maybe_digest,
            alarm=text,
        )
    )


region_heartbeats = st.builds(
    r.RegionHeartbeat,
    registry_id=identity,
    region=model_names,
    worker=identity,
    sequence=counts,
    started_at_us=times_us,
    sent_at_us=times_us,
    models_owned=counts,
    disk_free_bytes=counts,
    cache_used_bytes=counts,
    origin_bytes_per_second=seconds,
    draining=st.booleans(),
    software=st.dictionaries(text, text, max_size=4),
)
region_states = st.builds(
    r.RegionState,
    region=model_names,
    state=st.none() | st.sampled_from(State),
    aspired_version=maybe_version,
    aspired_generation=counts,
    aspired_digest=maybe_digest,
    staged_version=maybe_version,
    staged_generation=counts,
    served_version=maybe_version,
    served_generation=counts,
    pods_serving=counts,
    pods_expected=counts,
    behind_since_us=times_us,
    silent=st.booleans(),
    left_out=st.sampled_from(["", "pinned", "placement"]),
    refused_version=maybe_version,
    reported_at_us=times_us,
    heard_at_us=times_us,
    bytes_moved=counts,
    bytes_saved=counts,
    bytes_total=counts,
    bytes_planned=counts,
    bytes_per_second=seconds,
    way=text,
    spans_since_us=times_us,
    spans=_tuples(spans),
    error=text,
    pods=_tuples(pod_reports, 2),
    pods_omitted=counts,
    pinned_version=maybe_version,
    paused=st.booleans(),
    error_generation=counts,
    reported_version=maybe_version,
    unread=st.booleans(),
    read_at_us=times_us,
    moved_at_us=times_us,
    owner_epoch=counts,
)
version_states = st.builds(
    r.VersionState,
    registry_id=identity,
    model=model_names,
    head_generation=counts,
    latest_version=maybe_version,
    consistent_version=maybe_version,
    consistent_since_us=times_us,
    last_consistent_version=maybe_version,
    behind_since_us=times_us,
    skew=counts,
    skew_since_us=times_us,
    updated_at_us=times_us,
    regions=_tuples(region_states, 2),
    alarm=text,
    as_of_us=times_us,
    regions_omitted=counts,
)
version_changes = st.builds(
    r.VersionChange,
    registry_id=identity,
    model=model_names,
    region=st.just(r.ALL_OF_THEM) | model_names,
    status=st.sampled_from(["OK", "LAG", "SILENT"]),
    changed_at_us=times_us,
    confirmed_at_us=times_us,
    version=maybe_version,
    manifest_digest=maybe_digest,
    generation=counts,
    pods_serving=counts,
    pods_expected=counts,
    reported_at_us=times_us,
)
dead_letters = st.binary(max_size=64).flatmap(
    lambda raw: st.builds(
        r.DeadLetter,
        source_topic=identity,
        source_partition=st.integers(-1, 100),
        source_offset=st.integers(-1, LONG_MAX),
        reason=identity,
        detail=text,
        raw=st.just(raw),
        raw_size_bytes=st.integers(len(raw), LONG_MAX),
        raw_digest=digests,
        key=st.binary(max_size=16),
        reported_by=text,
        reported_at_us=times_us,
    )
)
statements = st.builds(
    r.Statement,
    schema_digest=digests,
    log_generation=generations,
    log_digest=digests,
    said_digest=digests,
    said=st.binary(max_size=64),
)
maybe_seconds = st.none() | seconds
probes = st.builds(p.Probe, registry_id=identity, probe_id=identity, worker=identity, sent_at_us=times_us)
probe_answers = st.builds(
    p.ProbeAnswer,
    registry_id=identity,
    probe_id=identity,
    region=model_names,
    worker=identity,
    announced_at_us=times_us,
)
probe_regions = st.builds(
    p.ProbeRegion,
    region=model_names,
    answered_at_us=times_us,
    seconds=maybe_seconds,
    asked=st.booleans(),
    lost_today=counts,
)
unchanged_states = st.builds(
    u.UnchangedState, model=model_names, said_at_us=times_us, as_of_us=times_us, read_at_us=times_us
)
states_unchanged = st.builds(
    u.StatesUnchanged,
    registry_id=identity,
    partition=st.integers(0, 11),
    updated_at_us=times_us,
    heard_at_us=times_us,
    models=_tuples(unchanged_states, 3),
)
probe_states = st.builds(
    p.ProbeState,
    registry_id=identity,
    partition=st.integers(0, 11),
    probe_id=identity,
    worker=identity,
    every_seconds=seconds,
    sent_at_us=times_us,
    updated_at_us=times_us,
    log_seconds=maybe_seconds,
    kafka_seconds=maybe_seconds,
    tracker_seconds=maybe_seconds,
    answered_at_us=times_us,
    day=counts,
    finished_today=counts,
    lost_today=counts,
    trouble=text,
    regions=_tuples(probe_regions, 2),
)
version_counts = st.builds(
    t.VersionCounts,
    version=versions,
    manifest_digest=digests,
    ready=st.booleans(),
    **dict.fromkeys(CUMULATIVE, counts),
    latency=_tuples(counts),
)
pod_counts = st.builds(
    t.PodCounts,
    registry_id=identity,
    model=model_names,
    region=model_names,
    pod=identity,
    incarnation=identity,
    started_at_us=times_us,
    sequence=counts,
    counted_at_us=times_us,
    table_generation=counts,
    table_epoch=counts,
    table_sequence=counts,
    versions=_tuples(version_counts, 2),
)
traffic_readings = st.builds(
    t.TrafficReading,
    registry_id=identity,
    model=model_names,
    region=model_names,
    worker=identity,
    epoch=counts,
    sequence=counts,
    rollout=text,
    generation=counts,
    reported_at_us=times_us,
    pods_expected=counts,
    control_ready=counts,
    candidate_ready=counts,
    pods_in_force=counts,
    table_generation=counts,
    table_epoch=counts,
    table_sequence=counts,
    share=shares,
    cut=text,
    cut_rollout=text,
    error=text,
)
rollout_gates = st.builds(
    t.RolloutGate,
    measure=text,
    kind=text,
    log_e_harmful=finite,
    log_e_harmless=finite,
    needed_harmful=finite,
    needed_harmless=finite,
    control_events=counts,
    candidate_events=counts,
)
rollout_regions = st.builds(
    t.RolloutRegion,
    region=model_names,
    wave=st.integers(-1, 100),
    ceiling=shares,
    share=shares,
    read_back=st.booleans(),
    pods_expected=counts,
    candidate_ready=counts,
    control_requests=counts,
    candidate_requests=counts,
    heard_at_us=times_us,
    cut=text,
)
rollout_outcomes = st.builds(
    t.RolloutOutcome,
    name=outcome_names,
    kind=text,
    control_count=counts,
    candidate_count=counts,
    control_mean=finite,
    candidate_mean=finite,
    low=st.none() | finite,
    high=st.none() | finite,
)
observed_outcomes = st.builds(
    o.ObservedOutcome,
    model=model_names,
    name=outcome_names,
    value=st.floats(-1e12, 1e12),
    at_us=times_us,
    id=identity,
    version=maybe_version,
    key=text,
    region=st.just("") | model_names,
)
rollout_states = st.builds(
    t.RolloutState,
    registry_id=identity,
    model=model_names,
    rollout=identity,
    generation=counts,
    phase=identity,
    strategy=identity,
    candidate=versions,
    control=maybe_version,
    updated_at_us=times_us,
    epoch=counts,
    wave=counts,
    waves=counts,
    step=st.integers(-1, 100),
    steps=counts,
    share=shares,
    verdict=text,
    gates=_tuples(rollout_gates, 2),
    regions=_tuples(rollout_regions, 2),
    control_requests=counts,
    candidate_requests=counts,
    blind=st.booleans(),
    why=text,
    next=text,
    if_stopped=text,
    evidence=maybe_digest,
    outcomes=_tuples(rollout_outcomes, 2),
    outcomes_left_out=text,
)
records = st.one_of(
    *(model_updates, model_commands(), model_acks(), region_heartbeats, version_states, version_changes),
    *(dead_letters, statements, probes, probe_answers, probe_states, states_unchanged),
    *(pod_counts, traffic_readings, rollout_states, observed_outcomes),
)
