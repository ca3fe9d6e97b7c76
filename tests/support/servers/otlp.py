"""Where spans go in tests: a list, or a receiver of OTLP over HTTP, as a collector of traces has one."""

import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from modelcast.infra.local.ports import LOOPBACK
from modelcast.infra.telemetry.tracing import SpanRecord


@dataclass(frozen=True, slots=True)
class ReceivedSpan:
    """A span as it arrived; ids are hexadecimal digits, ``parent_id`` "" for a root."""

    service: str
    trace_id: str
    span_id: str
    parent_id: str
    name: str
    began_ns: int
    ended_ns: int
    attributes: dict[str, Any]
    failed: bool


class KeptSpans:
    """A ``SpanSink`` that keeps what it takes."""

    def __init__(self) -> None:
        self.taken: list[SpanRecord] = []

    def emit(self, span: SpanRecord, /) -> None:
        self.taken.append(span)

    def close(self) -> None:
        pass


class OtlpReceiver:
    """Keeps every span that is sent to ``url``; a context manager."""

    def __init__(self) -> None:
        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
            ExportTraceServiceRequest,
            ExportTraceServiceResponse,
        )

        self.spans: list[ReceivedSpan] = []
        kept = self.spans

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                kept.extend(received(ExportTraceServiceRequest.FromString(body)))
                answer = ExportTraceServiceResponse().SerializeToString()
                self.send_response(200)
                self.send_header("Content-Type", "application/x-protobuf")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer((LOOPBACK, 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    @property
    def env(self) -> dict[str, str]:
        """What a process' environment needs so that its spans come here soon."""
        url = f"http://{LOOPBACK}:{self._server.server_address[1]}"
        return {"OTEL_EXPORTER_OTLP_ENDPOINT": url, "OTEL_BSP_SCHEDULE_DELAY": "100"}

    def named(self, name: str) -> list[ReceivedSpan]:
        """The spans of that name."""
        return [span for span in list(self.spans) if span.name == name]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()


def received(request: Any) -> list[ReceivedSpan]:
    """The spans of an ``ExportTraceServiceRequest``."""
    found = []
    for resource in request.resource_spans:
        about = {each.key: each.value.string_value for each in resource.resource.attributes}
        for scope in resource.scope_spans:
            found += [
                ReceivedSpan(
                    about.get("service.name", ""),
                    span.trace_id.hex(),
                    span.span_id.hex(),
                    span.parent_span_id.hex(),
                    span.name,
                    span.start_time_unix_nano,
                    span.end_time_unix_nano,
                    {a.key: getattr(a.value, a.value.WhichOneof("value")) for a in span.attributes},
                    span.status.code == 2,
                )
                for span in scope.spans
            ]
    return found
