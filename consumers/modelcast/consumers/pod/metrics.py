"""Every metric of a pod, declared once."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_LATENCY_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_LOAD_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)


class PodMetrics:
    """The names that people's dashboards know carry no prefix; ours are ``modelcast_pod_*``."""

    def __init__(self) -> None:
        self.registry = r = CollectorRegistry()
        self.predictions = Counter(
            "model_predictions_total",
            "Inference requests answered, by HTTP status",
            ["model", "version", "status"],
            registry=r,
        )
        self.latency = Histogram(
            "model_prediction_latency_seconds",
            "From the request's last byte read to the answer handed over",
            ["model"],
            buckets=_LATENCY_SECONDS,
            registry=r,
        )
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
            buckets=_LOAD_SECONDS,
            registry=r,
        )
        self.crashes = Counter(
            "modelcast_pod_worker_crashes_total", "Worker processes that died while they served", ["model"], registry=r
        )
