"""What the Grafana dashboards show, as data: titles, units and queries. ``generate.py`` makes Grafana's JSON of it.

Everything that two trackers show during a rebalance is taken by ``max``. Nothing is filled up: where nothing is known,
the panel says "No data".
"""

from modelcast.infra.monitoring.grafana.shapes import DashboardSpec, bars, count, lines, p95, quantile, stat

MODEL = (("model", "label_values(modelcast_state_timestamp_seconds, model)"),)
REGION = (("region", "label_values(modelcast_region_silent, region)"),)

OVERVIEW = DashboardSpec(
    "modelcast-overview",
    "Modelcast: overview",
    (
        stat("Alarms", "none", "sum(max by (model) (modelcast_alarm))", "A person must look."),
        stat("Silent regions", "none", "sum(max by (region) (modelcast_region_silent))"),
        stat("Longest lag", "s", "max(model:modelcast_lag_seconds:max)"),
        stat("The tracker's last report", "s", "time() - max(modelcast_state_timestamp_seconds)", "How long ago."),
        bars(
            "Pairs of model and region, by status",
            "none",
            ("sum by (status) (max by (model, status) (modelcast_model_pairs))", "{{status}}"),
            help="As the dashboard calls them; OUT counts nowhere.",
        ),
        lines(
            "Models that lag the longest",
            "s",
            ("topk(10, model:modelcast_lag_seconds:max)", "{{model}}"),
        ),
        lines("Regions that lag the longest", "s", ("topk(10, region:modelcast_lag_seconds:max)", "{{region}}")),
        lines(
            "Late, of the pairs that count, in an hour",
            "percentunit",
            ("topk(5, region:modelcast_late_ratio:avg1h)", "{{region}}"),
            ("topk(5, model:modelcast_late_ratio:avg1h)", "{{model}}"),
            help="0.1 % is allowed.",
        ),
        bars("Alerts that fire", "none", ('count by (alertname) (ALERTS{alertstate="firing"})', "{{alertname}}")),
    ),
)

MODEL_PAGE = DashboardSpec(
    "modelcast-model",
    "Modelcast: model",
    (
        stat(
            "Regions that serve what they should",
            "none",
            'max(modelcast_model_regions_serving{model="$model"})',
        ),
        stat("Regions that count", "none", 'max(modelcast_model_regions{model="$model"})'),
        stat("Consistent version", "none", 'max(modelcast_consistent_version{model="$model"})', "0: none."),
        stat("Latest version", "none", 'max(modelcast_latest_version{model="$model"})'),
        lines(
            "Lag of the region that is behind for longest",
            "s",
            ('model:modelcast_lag_seconds:max{model="$model"}', "lag"),
        ),
        bars(
            "Regions, by status",
            "none",
            ('max by (status) (modelcast_model_pairs{model="$model"})', "{{status}}"),
        ),
        lines(
            "Pods",
            "none",
            ('max(modelcast_model_pods_serving{model="$model"})', "serve what they should"),
            ('max(modelcast_model_pods_expected{model="$model"})', "count"),
        ),
        lines("Digests served in excess of one", "none", ('max(modelcast_skew{model="$model"})', "skew")),
        lines(
            "Late, of the regions that count",
            "percentunit",
            ('model:modelcast_late_ratio:avg1h{model="$model"}', "an hour"),
            ('model:modelcast_late_ratio:avg6h{model="$model"}', "six hours"),
            ('model:modelcast_late_ratio:avg3d{model="$model"}', "three days"),
        ),
        bars(
            "Fetched over the long link, by way",
            "Bps",
            ('sum by (way) (rate(modelcast_fetched_bytes_total{model="$model"}[$__rate_interval]))', "{{way}}"),
        ),
        bars(
            "Saved, by way",
            "Bps",
            ('sum by (way) (rate(modelcast_saved_bytes_total{model="$model"}[$__rate_interval]))', "{{way}}"),
        ),
        bars(
            "Loads of pods, by outcome",
            "none",
            count("modelcast_loads_total", "outcome", '{model="$model"}'),
        ),
    ),
    MODEL,
)

REGION_PAGE = DashboardSpec(
    "modelcast-region",
    "Modelcast: region",
    (
        stat("Last heard", "s", 'time() - max(modelcast_region_heard_timestamp_seconds{region="$region"})'),
        stat("Silent", "none", 'max(modelcast_region_silent{region="$region"})', "1: yes."),
        stat("Models behind", "none", 'sum(modelcast_region_models_behind{region="$region"})'),
        stat("Models late", "none", 'sum(modelcast_region_models_late{region="$region"})'),
        lines(
            "Lag of the model that is behind for longest",
            "s",
            ('region:modelcast_lag_seconds:max{region="$region"}', "lag"),
        ),
        bars("Models, by status", "none", ('max by (status) (modelcast_region_pairs{region="$region"})', "{{status}}")),
        lines(
            "Late, of the models that count",
            "percentunit",
            ('region:modelcast_late_ratio:avg1h{region="$region"}', "an hour"),
            ('region:modelcast_late_ratio:avg6h{region="$region"}', "six hours"),
            ('region:modelcast_late_ratio:avg3d{region="$region"}', "three days"),
        ),
        bars(
            "Fetched over the long link, by way",
            "Bps",
            ('sum by (way) (rate(modelcast_fetched_bytes_total{region="$region"}[$__rate_interval]))', "{{way}}"),
        ),
        lines(
            "Cache and disk",
            "bytes",
            ('max by (instance) (modelcast_cache_used_bytes{region="$region"})', "{{instance}} used"),
            ('max by (instance) (modelcast_disk_free_bytes{region="$region"})', "{{instance}} free"),
        ),
        bars(
            "Heartbeats, by outcome",
            "none",
            count("modelcast_heartbeats_total", "outcome", '{region="$region"}'),
        ),
        lines(
            "Fleets",
            "none",
            ('max by (fleet) (modelcast_fleet_pods{region="$region"})', "{{fleet}}: pods"),
            help="As they are in the settings, and how many pods each is known to have.",
        ),
        lines(
            "Models that a worker owns",
            "none",
            ('count by (instance) (modelcast_owner_epoch{region="$region"} > 0)', "{{instance}}"),
        ),
    ),
    REGION,
)

ROLLOUTS = DashboardSpec(
    "modelcast-rollouts",
    "Modelcast: rollouts",
    (
        stat("From the log to the last region, a day's p50", "s", "modelcast:convergence_seconds:p50_1d"),
        stat("p95", "s", "modelcast:convergence_seconds:p95_1d"),
        stat("Rollouts in a day", "none", "sum(increase(modelcast_convergence_seconds_count[1d]))"),
        stat("Stopped now", "none", "sum(max by (model) (modelcast_rollover_stopped))"),
        lines(
            "From the log to the last region",
            "s",
            (quantile(0.5, "modelcast_convergence_seconds"), "p50"),
            (p95("modelcast_convergence_seconds"), "p95"),
        ),
        lines("Stages of fetches, p95", "s", (p95("modelcast_stage_seconds", "stage"), "{{stage}}")),
        lines(
            "Fetch and load, p95",
            "s",
            (p95("modelcast_fetch_seconds"), "fetch"),
            (p95("modelcast_load_seconds"), "load of a pod"),
        ),
        lines("Log brought up to date, p95", "s", (p95("modelcast_log_read_seconds"), "read")),
        bars(
            "Fetches, by outcome",
            "none",
            count("modelcast_fetches_total", "outcome"),
        ),
        bars(
            "Models, by the state that their aspired generation is in",
            "none",
            ("sum by (state) (modelcast_model_state)", "{{state}}"),
            help="A model counts once in each region.",
        ),
    ),
)

KAFKA = DashboardSpec(
    "modelcast-kafka",
    "Modelcast: Kafka and probe",
    (
        lines(
            "Probe, by hop, p95",
            "s",
            (p95("modelcast_probe_seconds", "hop"), "{{hop}}"),
            help="A record that goes the whole way of a publication, and is none.",
        ),
        lines(
            "Since the region last answered a probe",
            "s",
            ("time() - max by (region) (modelcast_probe_last_success_timestamp_seconds)", "{{region}}"),
        ),
        lines(
            "How long the first unread record has waited",
            "s",
            ("max by (group, topic) (modelcast_consumer_lag_seconds)", "{{group}} {{topic}}"),
        ),
        lines(
            "Unread records",
            "none",
            ("max by (group, topic) (modelcast_consumer_lag_records)", "{{group}} {{topic}}"),
        ),
        bars(
            "Groups, by status",
            "none",
            ("sum by (status) (max by (group, status) (modelcast_consumer_status))", "{{status}}"),
        ),
        stat(
            "Groups were looked at", "s", "time() - max(modelcast_consumer_looked_timestamp_seconds)", "How long ago."
        ),
        lines(
            "Oldest acknowledgement that the tracker has not read",
            "s",
            (
                "max((time() - modelcast_unread_since_timestamp_seconds)"
                " * (modelcast_unread_since_timestamp_seconds > bool 0))",
                "waits",
            ),
        ),
        bars(
            "Records read, by outcome",
            "none",
            count("modelcast_records_total", "topic, outcome"),
        ),
        bars(
            "Dead letters",
            "none",
            count("modelcast_dead_letters_total", "topic, reason"),
        ),
        bars(
            "Announcements, by outcome",
            "none",
            count("modelcast_announcements_total", "by, outcome"),
        ),
    ),
)

PODS = DashboardSpec(
    "modelcast-pods",
    "Modelcast: pods",
    (
        stat("Pods that take traffic", "none", "sum(modelcast_pod_ready)"),
        stat("Pods", "none", "count(modelcast_pod_ready)"),
        lines(
            "Requests answered, by HTTP status code",
            "reqps",
            ("sum by (code) (rate(model_predictions_total[$__rate_interval]))", "{{code}}"),
        ),
        lines(
            "Latency",
            "s",
            (quantile(0.5, "model_prediction_latency_seconds", "model"), "{{model}} p50"),
            (quantile(0.99, "model_prediction_latency_seconds", "model"), "{{model}} p99"),
        ),
        lines(
            "Pods that serve a version",
            "none",
            ("sum by (model, version) (model_active_replicas)", "{{model}}/{{version}}"),
        ),
        lines("Requests under way", "none", ("sum by (instance) (modelcast_pod_in_flight_requests)", "{{instance}}")),
        lines("Stages of a load, p95", "s", (p95("modelcast_pod_load_seconds", "stage"), "{{stage}}")),
        bars(
            "Load orders, by outcome",
            "none",
            count("modelcast_pod_loads_total", "outcome"),
        ),
        bars(
            "Workers that died while they served",
            "none",
            count("modelcast_pod_worker_crashes_total", "instance, model"),
        ),
    ),
)

PUBLISHERS = DashboardSpec(
    "modelcast-publishers",
    "Modelcast: publishers",
    (
        bars(
            "Publications, by outcome",
            "none",
            count("modelcast_publications_total", "outcome"),
            help="Of training jobs that are scraped: those that show prometheus_client's registry.",
        ),
        lines("Steps, p95", "s", (p95("modelcast_publish_seconds", "step"), "{{step}}")),
        lines(
            "Uploaded",
            "Bps",
            ("sum by (model) (rate(modelcast_uploaded_bytes_total[$__rate_interval]))", "{{model}}"),
        ),
        bars(
            "Commands, by kind",
            "none",
            count("modelcast_commands_total", "kind"),
        ),
        bars(
            "Announcements, by outcome",
            "none",
            count("modelcast_announcements_total", "outcome", '{by="publisher"}'),
        ),
    ),
)

ITSELF = DashboardSpec(
    "modelcast-itself",
    "Modelcast: itself",
    (
        lines("Daemons that are scraped", "none", ('sum by (job) (up{job=~"modelcast-.+"})', "{{job}}")),
        lines(
            "Processors in use",
            "none",
            (
                'sum by (job, instance) (rate(process_cpu_seconds_total{job=~"modelcast-.+"}[$__rate_interval]))',
                "{{job}} {{instance}}",
            ),
        ),
        lines(
            "Memory",
            "bytes",
            ('max by (job, instance) (process_resident_memory_bytes{job=~"modelcast-.+"})', "{{job}} {{instance}}"),
        ),
        lines(
            "Series of a scrape",
            "none",
            ('max by (job, instance) (scrape_samples_scraped{job=~"modelcast-.+"})', "{{job}} {{instance}}"),
        ),
        lines("Versions that run", "none", ("count by (version) (modelcast_build_info)", "{{version}}")),
        lines("Fold of one model, p95", "s", (p95("modelcast_fold_seconds"), "fold")),
        lines("Pods folded", "cps", ("sum(rate(modelcast_folded_pods_total[$__rate_interval]))", "pods")),
        bars(
            "Writes of the view in Redis, by outcome",
            "none",
            count("modelcast_view_writes_total", "outcome"),
        ),
        lines("Open pages and other event streams", "none", ("sum(modelcast_dashboard_watchers)", "watchers")),
        lines(
            "Events sent to them",
            "cps",
            ("sum(rate(modelcast_dashboard_deliveries_total[$__rate_interval]))", "events"),
            ("sum(rate(modelcast_dashboard_resyncs_total[$__rate_interval]))", "began anew"),
        ),
        stat(
            "Newest state that the dashboard shows",
            "s",
            "time() - max(modelcast_dashboard_state_timestamp_seconds > 0)",
            "How long ago it was written.",
        ),
    ),
)

DASHBOARDS = (OVERVIEW, MODEL_PAGE, REGION_PAGE, ROLLOUTS, KAFKA, PODS, PUBLISHERS, ITSELF)
