"""Every metric, declared once: kind, unit, meaning.

Names end in their unit; labels are few and bounded: models and regions, never pods or error texts, and versions only
where a pod reports the few that it holds.
"""

from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from modelcast.infra.telemetry.inference_counts import InferenceCounts

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800)
LATENCY_SECONDS = (
    *(0.00025, 0.0005, 0.00075, 0.001, 0.0015, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.05),
    *(0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1.0, 2.5, 5.0, 10.0, 30.0),
)
CONVERGENCE_BUCKETS_SECONDS = (1, 2.5, 5, 10, 20, 30, 45, 60, 120, 300, 600, 1800, 3600)
LOAD_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)

# --- every daemon -------------------------------------------------------------------------------------------

BUILD_INFO = Gauge("modelcast_build_info", "1; the label tells which version of Modelcast runs.", ("version",))


def installed_version() -> str:
    """Modelcast's own, as it is installed."""
    from importlib.metadata import version  # here, as every command imports this module

    return version("modelcast")


# --- publisher and commands ---------------------------------------------------------------------------------

PUBLICATIONS = Counter(
    "modelcast_publications", "Publications by outcome: created, existed, unannounced, failed.", ("model", "outcome")
)
PUBLISH_SECONDS = Histogram(
    "modelcast_publish_seconds",
    "Time of one publication's step: scan, upload, claim, announce.",
    ("step",),
    buckets=SECONDS,
)
UPLOADED_BYTES = Counter("modelcast_uploaded_bytes", "Bytes of blobs that the origin store lacked and got.", ("model",))
COMMANDS = Counter("modelcast_commands", "Commands claimed in a log, by kind.", ("model", "kind"))
ANNOUNCEMENTS = Counter(
    "modelcast_announcements", "Log entries announced on Kafka, by announcer: publisher, tracker.", ("by", "outcome")
)

TRUST_EXPIRES = Gauge(
    "modelcast_trust_expires_timestamp_seconds",
    "When the first file of the policy of trust expires that was read last; 0: none is read.",
)

# --- rollout controller -------------------------------------------------------------------------------------

ROLLOUT_ENDED_TIMESTAMP = Gauge(
    "modelcast_rollout_ended_timestamp_seconds",
    "When the controller last aborted or held a rollout by its evidence, by its clock; entry: abort, hold.",
    ("model", "entry"),
)

# --- region agent -------------------------------------------------------------------------------------------

MODEL_STATE = Gauge(
    "modelcast_model_state", "1 for the state that the aspired generation is in, 0 for all others.", ("model", "state")
)
ACCEPTED_GENERATION = Gauge("modelcast_accepted_generation", "Generation that the region has accepted.", ("model",))
SERVED_VERSION = Gauge("modelcast_served_version", "Version that all pods of the region serve; 0: none.", ("model",))
FETCHES = Counter("modelcast_fetches", "Fetches by outcome: done, failed, damaged.", ("model", "outcome"))
FETCH_SECONDS = Histogram("modelcast_fetch_seconds", "Time to fetch and verify an artifact.", buckets=SECONDS)
STAGE_SECONDS = Histogram(
    "modelcast_stage_seconds",
    "Time of one stage of a fetch: manifest, plan, lease, regional, origin, rebuild, verify, stage.",
    ("stage",),
    buckets=SECONDS,
)
FETCHED_BYTES = Counter(
    "modelcast_fetched_bytes",
    "Bytes over the long link, by how most came: delta, chain, compressed, blocks, resumed, whole, region, cache.",
    ("model", "way"),
)
SAVED_BYTES = Counter("modelcast_saved_bytes", "Bytes that did not have to move, by the same ways.", ("model", "way"))
LOADS = Counter("modelcast_loads", "Loads asked of pods: served, failed, refused.", ("model", "outcome"))
LOAD_ORDER_SECONDS = Histogram("modelcast_load_seconds", "Time from asking a pod to its read-back.", buckets=SECONDS)
ROLLOVER_STOPPED = Gauge(
    "modelcast_rollover_stopped",
    "1 while a rollover in the region was stopped, or can't go on before a person changes its bounds.",
    ("model",),
)
CANDIDATE_PODS = Gauge("modelcast_candidate_pods", "Pods in the region that hold a rollout's candidate.", ("model",))
CANDIDATE_SHARE = Gauge(
    "modelcast_candidate_share", "Part of the requests that a rollout's candidate is to have here, 0 to 1.", ("model",)
)
CANDIDATE_CUT = Gauge(
    "modelcast_candidate_cut",
    "1 while a rollout is under way whose candidate the region has cut off by its own evidence.",
    ("model",),
)
CANDIDATE_CUT_TIMESTAMP = Gauge(
    "modelcast_candidate_cut_timestamp_seconds",
    "When the region last cut a candidate off by its own evidence, by its clock.",
    ("model",),
)
TRAFFIC_REPORTS = Counter("modelcast_traffic_reports", "Reports on rollouts sent to Kafka.", ("model",))
EPOCH = Gauge("modelcast_owner_epoch", "Epoch under which this worker owns the model; 0: it does not.", ("model",))
FENCED = Counter("modelcast_fenced", "Side effects refused because a newer owner exists.", ("model",))
ACKS = Counter("modelcast_acks", "Snapshot pages sent.", ("model",))
HEARTBEATS = Counter("modelcast_heartbeats", "Heartbeats sent, by outcome.", ("outcome",))
CACHE_USED_BYTES = Gauge("modelcast_cache_used_bytes", "Bytes in the local artifact cache.")
DISK_FREE_BYTES = Gauge("modelcast_disk_free_bytes", "Bytes free on the cache's disk.")
FLEET_PODS = Gauge("modelcast_fleet_pods", "Pods that a fleet of the settings has, as far as is known.", ("fleet",))
FLEET_SEEN_TIMESTAMP = Gauge(
    "modelcast_fleet_seen_timestamp_seconds",
    "When a fleet's pods were last looked up successfully; 0: never.",
    ("fleet",),
)

# --- tracker ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Shown:
    """A gauge that a collector renders from what it knows at the scrape; what is gone from there is gone here."""

    name: str
    documentation: str
    labels: tuple[str, ...]


CONSISTENT_VERSION = Shown(
    "modelcast_consistent_version",
    "Version that all expected pods of all expected regions serve; 0: none.",
    ("model",),
)
LATEST_VERSION = Shown("modelcast_latest_version", "Highest version published.", ("model",))
SKEW = Shown("modelcast_skew", "Digests served now in excess of one; 0: every pod serves the same.", ("model",))
ALARM = Gauge(
    "modelcast_alarm",
    "1 while a person must look: foreign registry, rewritten or unreadable log, a quarantined version is served.",
    ("model",),
)
STATE_TIMESTAMP = Shown(
    "modelcast_state_timestamp_seconds",
    "When this tracker last told Kafka of the model: its state, or that it has not changed; 0: not yet.",
    ("model",),
)
HELD_SINCE = Shown(
    "modelcast_held_since_timestamp_seconds",
    "When the store received the entry that pins or pauses the model in a region; only of those that are held.",
    ("model", "region"),
)
LARGEST_ARTIFACT = Shown(
    "modelcast_largest_artifact_bytes", "Size of the largest among the models' latest versions; 0: none is known.", ()
)
MODEL_BEHIND_SINCE = Shown(
    "modelcast_model_behind_since_timestamp_seconds",
    "When the region that is behind for longest fell behind; 0: none is.",
    ("model",),
)
MODEL_REGIONS = Shown("modelcast_model_regions", "Regions that count.", ("model",))
MODEL_REGIONS_SERVING = Shown(
    "modelcast_model_regions_serving", "Regions that count and are known to serve the aspired version.", ("model",)
)
MODEL_REGIONS_LATE = Shown(
    "modelcast_model_regions_late",
    "Regions that count, are heard, and have been behind for longer than dashboard.late_seconds.",
    ("model",),
)
MODEL_REGIONS_STALLED = Shown(
    "modelcast_model_regions_stalled",
    "Regions that count, are behind, and in which neither bytes nor state have moved for a minute: STALLED.",
    ("model",),
)
MODEL_REGIONS_REFUSED = Shown(
    "modelcast_model_regions_refused",
    "Regions that count, and refuse the aspired version as damaged or quarantined: REFUSED.",
    ("model",),
)
MODEL_PODS_SERVING = Shown(
    "modelcast_model_pods_serving", "Pods confirmed to serve the aspired version, of all regions.", ("model",)
)
MODEL_PODS_EXPECTED = Shown("modelcast_model_pods_expected", "Pods that count, of all regions.", ("model",))
REGION_SILENT = Shown("modelcast_region_silent", "1 if the region has not reported in time.", ("region",))
REGION_HEARD_TIMESTAMP = Shown(
    "modelcast_region_heard_timestamp_seconds", "When the region last reported.", ("region",)
)
REGION_BEHIND_SINCE = Shown(
    "modelcast_region_behind_since_timestamp_seconds",
    "When the model that is behind there for longest fell behind; 0: none is.",
    ("region",),
)
REGION_MODELS = Shown("modelcast_region_models", "Models that count there.", ("region",))
REGION_MODELS_LATE = Shown(
    "modelcast_region_models_late",
    "Models that count there and have been behind for longer than dashboard.late_seconds; 0 while it is silent.",
    ("region",),
)
REGION_MODELS_BEHIND = Shown("modelcast_region_models_behind", "Models that are behind there.", ("region",))
BEHIND_SINCE = Shown(
    "modelcast_behind_since_timestamp_seconds",
    "When the region fell behind what it should serve, by the store's clock; 0: it did not. tracker.metrics = pairs.",
    ("model", "region"),
)
PODS_SERVING = Shown(
    "modelcast_pods_serving",
    "Pods confirmed to serve the aspired version. tracker.metrics = pairs.",
    ("model", "region"),
)
PODS_EXPECTED = Shown("modelcast_pods_expected", "Pods that count. tracker.metrics = pairs.", ("model", "region"))
UNREAD_SINCE = Shown(
    "modelcast_unread_since_timestamp_seconds",
    "When the oldest acknowledgement not yet read or not yet decided was written; 0: all were read.",
    ("partition",),
)
CONVERGENCE_SECONDS = Histogram(
    "modelcast_convergence_seconds",
    "From when the store received an entry until the tracker knew the last region that counts to serve what it should.",
    buckets=CONVERGENCE_BUCKETS_SECONDS,
)
FOLD_SECONDS = Histogram("modelcast_fold_seconds", "Time to fold one model's state.", buckets=SECONDS)
LOOKS_PUT_OFF = Counter(
    "modelcast_epoch_looks_put_off",
    "Reads of a region's own state, which tell true reports from forged ones, that were put off: too many waited.",
    ("region",),
)
FOLDED_PODS = Counter("modelcast_folded_pods", "Pod reports folded, or replaced by newer ones before that.")
VIEW_WRITES = Counter("modelcast_view_writes", "Writes to the live view in Redis, by outcome.", ("outcome",))
PROBE_SECONDS = Histogram(
    "modelcast_probe_seconds",
    "Time of a probe by hop: log (a question to the store), kafka (until Kafka has it), region (until its answer is on "
    "Kafka), tracker (until the tracker has read that), page (until a dashboard has it).",
    ("hop",),
    buckets=SECONDS,
)
PROBE_LAST_SUCCESS = Gauge(
    "modelcast_probe_last_success_timestamp_seconds",
    "When the region last answered a probe, by Kafka's clock; before its first answer: when it was first asked.",
    ("region",),
)

# --- everyone that reads --------------------------------------------------------------------------------------

RECORDS = Counter("modelcast_records", "Records read: folded, stale, dead-letter.", ("topic", "outcome"))
DEAD_LETTERS = Counter("modelcast_dead_letters", "Records that could not be used.", ("topic", "reason"))
DEAD_LETTER_TIMESTAMP = Gauge(
    "modelcast_dead_letter_timestamp_seconds", "When the last record that could not be used was found.", ("topic",)
)
LOG_READ_SECONDS = Histogram("modelcast_log_read_seconds", "Time to bring one model's log up to date.", buckets=SECONDS)

# --- serving pod ----------------------------------------------------------------------------------------------


class PodMetrics:
    """A pod's own, in a registry of their own: nothing else is served beside them.

    The names that people's dashboards know carry no prefix; ours are ``modelcast_pod_*``.
    """

    def __init__(self) -> None:
        self.registry = r = CollectorRegistry()
        self.inference = InferenceCounts(
            ("model_predictions_total", "Inference requests answered, by HTTP status"),
            ("model_prediction_latency_seconds", "From the request's last byte read to the answer handed over"),
            LATENCY_SECONDS,
        )
        r.register(self.inference)
        self.active = Gauge(
            "model_active_replicas", "1 while this pod serves the version", ["model", "version"], registry=r
        )
        self.generation = Gauge(
            "modelcast_pod_generation", "Generation whose order is being served", ["model"], registry=r
        )
        self.ready = Gauge("modelcast_pod_ready", "1 while the pod takes traffic", registry=r)
        self.in_flight = Gauge("modelcast_pod_in_flight_requests", "Inference requests under way", registry=r)
        self.loads = Counter(
            "modelcast_pod_loads_total",
            "Load orders, by outcome (loaded, adopted, or a code)",
            ["model", "outcome"],
            registry=r,
        )
        self.load_seconds = Histogram(
            "modelcast_pod_load_seconds",
            "Seconds of a load, by stage (spawn, verify, load, warm_up, total)",
            ["stage"],
            buckets=LOAD_SECONDS,
            registry=r,
        )
        self.crashes = Counter(
            "modelcast_pod_worker_crashes_total", "Worker processes that died while they served", ["model"], registry=r
        )
