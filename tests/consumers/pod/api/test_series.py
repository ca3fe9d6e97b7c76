"""What a pod counts of inference stays bounded, however many versions it has served."""

from prometheus_client import generate_latest

from modelcast.consumers.pod.api.series import VERSIONS_MAX, InferenceSeries
from modelcast.infra.telemetry.metrics import PodMetrics


def test_latency_and_answers_are_kept_by_version_for_the_last_versions_only() -> None:
    metrics = PodMetrics()
    series = InferenceSeries(metrics)
    for version in range(1, 8):
        for status in (200, 200, 503):
            series.begun()
            series.ended("m", version, status, 0.0004)
    series.begun()
    series.ended("other", 1, 200, 0.0004)
    text = generate_latest(metrics.registry).decode()
    for version in range(1, 8):
        kept = version > 7 - VERSIONS_MAX
        assert (f'seconds_count{{model="m",version="{version}"}} 3.0' in text) is kept
        assert (f'total{{code="200",model="m",version="{version}"}} 2.0' in text) is kept
    assert 'seconds_count{model="other",version="1"} 1.0' in text
    assert 'seconds_bucket{le="0.0005",model="m",version="7"} 3.0' in text
    assert "modelcast_pod_in_flight_requests 0.0" in text


def test_a_version_that_was_unloaded_is_shown_once_more_and_then_no_longer() -> None:
    metrics = PodMetrics()
    series = InferenceSeries(metrics)
    for version in (1, 2):
        series.begun()
        series.ended("m", version, 200, 0.0004)

    def shown(*loaded: int) -> list[int]:
        series.forget_unloaded({("m", version) for version in loaded})
        text = generate_latest(metrics.registry).decode()
        return [version for version in (1, 2) if f'seconds_count{{model="m",version="{version}"}}' in text]

    assert shown(1, 2) == [1, 2]
    assert shown(1) == [1, 2]
    assert shown(1) == [1]
    assert shown() == [1], "lost, and about to be back"
    assert shown(1) == [1]
    assert shown(1) == [1]
