"""Every metric of the publisher, the region agent and the tracker, declared once: kind, unit, meaning.

(The serving pod's stand beside it.) Names end in their unit; labels are few and bounded: models and regions,
never versions, pods or error texts.
"""

from prometheus_client import Counter, Gauge, Histogram

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800)

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
    "modelcast_announcements", "Log entries announced on Kafka, by who did: publisher, tracker.", ("by", "outcome")
)

# --- region agent -------------------------------------------------------------------------------------------

MODEL_STATE = Gauge(
    "modelcast_model_state", "1 for the state that the aspired generation is in, 0 for all others.", ("model", "state")
)
ACCEPTED_GENERATION = Gauge("modelcast_accepted_generation", "Generation that the region has accepted.", ("model",))
SERVED_VERSION = Gauge("modelcast_served_version", "Version that all pods of the region serve; 0: none.", ("model",))
FETCHES = Counter("modelcast_fetches", "Fetches by outcome: done, failed, damaged.", ("model", "outcome"))
FETCH_SECONDS = Histogram("modelcast_fetch_seconds", "Time to fetch and verify an artifact.", buckets=SECONDS)
FETCHED_BYTES = Counter(
    "modelcast_fetched_bytes",
    "Bytes moved over the long link, by how most came: delta, chain, packed, blocks, whole, region, cache.",
    ("model", "way"),
)
SAVED_BYTES = Counter("modelcast_saved_bytes", "Bytes that did not have to move, by the same ways.", ("model", "way"))
RELOADS = Counter("modelcast_reloads", "Loads asked of pods: served, failed, refused.", ("model", "outcome"))
RELOAD_SECONDS = Histogram("modelcast_reload_seconds", "Time from asking a pod to its read-back.", buckets=SECONDS)
RECONCILE_SECONDS = Histogram("modelcast_reconcile_seconds", "Time of one model's reconciliation.", buckets=SECONDS)
EPOCH = Gauge("modelcast_owner_epoch", "Epoch under which this worker owns the model; 0: it does not.", ("model",))
FENCED = Counter("modelcast_fenced", "Side effects refused because a newer owner exists.", ("model",))
ACKS = Counter("modelcast_acks", "Snapshot pages sent.", ("model",))
HEARTBEATS = Counter("modelcast_heartbeats", "Heartbeats sent, by outcome.", ("outcome",))
CACHE_USED_BYTES = Gauge("modelcast_cache_used_bytes", "Bytes in the local artifact cache.")
DISK_FREE_BYTES = Gauge("modelcast_disk_free_bytes", "Bytes free on the cache's disk.")

# --- tracker ------------------------------------------------------------------------------------------------

LAG_SECONDS = Gauge(
    "modelcast_lag_seconds",
    "Since the store received the oldest publication that the region does not yet serve; 0: serves it.",
    ("model", "region"),
)
CONSISTENT_VERSION = Gauge(
    "modelcast_consistent_version",
    "Version that all expected pods of all expected regions serve; 0: none.",
    ("model",),
)
LATEST_VERSION = Gauge("modelcast_latest_version", "Highest version published.", ("model",))
SKEW = Gauge("modelcast_skew", "Different digests of the model served right now.", ("model",))
PODS_SERVING = Gauge("modelcast_pods_serving", "Pods confirmed to serve the aspired version.", ("model", "region"))
PODS_EXPECTED = Gauge("modelcast_pods_expected", "Pods that count.", ("model", "region"))
REGION_SILENT = Gauge("modelcast_region_silent", "1 if the region has not been heard of in time.", ("region",))
REGION_HEARD_SECONDS = Gauge("modelcast_region_heard_seconds", "Since the region was last heard of.", ("region",))
ALARM = Gauge("modelcast_alarm", "1 while an alarm (foreign registry, rewritten or unreadable log) stops the model.", ("model",))
STATE_AGE_SECONDS = Gauge("modelcast_state_age_seconds", "Age of the model's version-state.", ("model",))
FOLD_SECONDS = Histogram("modelcast_fold_seconds", "Time to fold one model's state.", buckets=SECONDS)
FOLDED_PODS = Counter("modelcast_folded_pods", "Pod reports folded, or overtaken by newer ones at hand.")
VIEW_WRITES = Counter("modelcast_view_writes", "Writes to the live view in Redis, by outcome.", ("outcome",))

# --- everyone that reads --------------------------------------------------------------------------------------

RECORDS = Counter("modelcast_records", "Records read: folded, stale, dead-letter.", ("topic", "outcome"))
DEAD_LETTERS = Counter("modelcast_dead_letters", "Records that could not be used.", ("topic", "reason"))
LOG_READ_SECONDS = Histogram("modelcast_log_read_seconds", "Time to bring one model's log up to date.", buckets=SECONDS)
