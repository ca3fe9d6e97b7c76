"""The tracker's findings as Prometheus metrics."""

from collections.abc import Iterable, Mapping

from modelcast.infra.telemetry.metrics import (
    ALARM,
    CONSISTENT_VERSION,
    LAG_SECONDS,
    LATEST_VERSION,
    PODS_EXPECTED,
    PODS_SERVING,
    REGION_HEARD_SECONDS,
    REGION_SILENT,
    SKEW,
    STATE_AGE_SECONDS,
)
from modelcast.schemas.records import VersionState


def show(state: VersionState) -> None:
    """Show one model's state."""
    model = state.model
    CONSISTENT_VERSION.labels(model).set(state.consistent_version or 0)
    LATEST_VERSION.labels(model).set(state.latest_version or 0)
    SKEW.labels(model).set(state.skew)
    ALARM.labels(model).set(1 if state.alarm else 0)
    for row in state.regions:
        LAG_SECONDS.labels(model, row.region).set(row.lag_seconds)
        PODS_SERVING.labels(model, row.region).set(row.pods_serving)
        PODS_EXPECTED.labels(model, row.region).set(row.pods_expected)


def show_regions(expected: Iterable[str], silent: frozenset[str], heard_us: Mapping[str, int], now_us: int) -> None:
    """Show which regions are heard of."""
    for region in expected:
        REGION_SILENT.labels(region).set(1 if region in silent else 0)
        if region in heard_us:
            REGION_HEARD_SECONDS.labels(region).set(max(0, now_us - heard_us[region]) / 1_000_000)


def show_ages(updated_us: Mapping[str, int], now_us: int) -> None:
    """Show how old each model's state is."""
    for model, updated in updated_us.items():
        STATE_AGE_SECONDS.labels(model).set(max(0, now_us - updated) / 1_000_000)


def forget(states: Iterable[VersionState]) -> None:
    """Show nothing more of models that another worker owns now."""
    for state in states:
        for gauge in (CONSISTENT_VERSION, LATEST_VERSION, SKEW, ALARM, STATE_AGE_SECONDS):
            _remove(gauge, state.model)
        for row in state.regions:
            for gauge in (LAG_SECONDS, PODS_SERVING, PODS_EXPECTED):
                _remove(gauge, state.model, row.region)


def _remove(gauge: object, *labels: str) -> None:
    try:
        gauge.remove(*labels)  # type: ignore[attr-defined]
    except KeyError:
        return
