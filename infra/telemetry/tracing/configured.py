"""Whether there are traces, by the variables of OpenTelemetry's own specification."""

import logging
from collections.abc import Mapping

from modelcast.infra.telemetry.tracing.spans import SpanSink

log = logging.getLogger(__name__)


def span_sink(service: str, env: Mapping[str, str]) -> SpanSink | None:
    """Where the spans of this process go; None: nowhere, and nothing of OpenTelemetry is imported.

    Args:
        service: ``service.name``, unless the environment names another one.
        env: traces are made if it names an exporter or where one sends to (``OTEL_…EXPORTER…``), and neither
            ``OTEL_SDK_DISABLED=true`` nor ``OTEL_TRACES_EXPORTER=none``. A name for the service alone asks for nothing.
    """
    if not is_on(env):
        return None
    try:
        from modelcast.infra.telemetry.tracing.otel import OtelSink

        return OtelSink(service, env)
    except Exception as error:  # whatever is wrong with traces, the work goes on
        log.warning("there are no traces, though OTEL_* is set (pip install 'modelcast[otel]'): %s", error)
        return None


def is_on(env: Mapping[str, str]) -> bool:
    """Whether the environment asks for traces."""
    asked = any(name.startswith("OTEL_") and "EXPORTER" in name for name in env)
    disabled = env.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"
    return asked and not disabled and env.get("OTEL_TRACES_EXPORTER", "").strip().lower() != "none"
