"""What a daemon shows of itself."""

import io
import json
import logging
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Literal

import prometheus_client
import pytest
import structlog

from modelcast.infra.settings import LogSettings
from modelcast.infra.telemetry import logs, metrics
from modelcast.infra.telemetry.health import HealthServer
from modelcast.schemas.errors import ModelcastError, NotFound


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


def lines(out: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in out.getvalue().splitlines()]


def test_off_a_terminal_each_line_is_json_with_what_is_being_worked_on() -> None:
    out = io.StringIO()
    logs.set_up(LogSettings(), stream=out, region="eu")
    with logs.bound(model="fraud", version=7, generation=12):
        structlog.get_logger().info("staged", bytes_moved=5)
        logging.getLogger("somewhere.else").warning("plain %s", "text", extra={"pod": "eu-0"})
    structlog.get_logger().info("idle", model=None)
    first, second, third = lines(out)
    assert first["event"] == "staged"
    assert {k: first[k] for k in ("model", "version", "generation", "region", "level", "bytes_moved")} == {
        "model": "fraud",
        "version": 7,
        "generation": 12,
        "region": "eu",
        "level": "info",
        "bytes_moved": 5,
    }
    assert (second["event"], second["model"], second["pod"]) == ("plain text", "fraud", "eu-0")
    assert "version" not in third


@pytest.mark.parametrize("format_", ["console", "json"])
def test_what_others_said_moves_no_cursor_and_sets_no_title(format_: Literal["console", "json"]) -> None:
    evil, out = "\x1b]0;owned\x07\x9b2J\rend", io.StringIO()
    logs.set_up(LogSettings(format=format_), stream=out)
    structlog.get_logger().warning(evil, publisher=evil, labels={"a": evil}, error=NotFound(evil, subject=evil))
    try:
        raise ValueError(evil)
    except ValueError:
        structlog.get_logger().exception("failed")
    assert "owned" in out.getvalue()
    assert not set(out.getvalue()) & set("\x1b\x07\x9b\r")


def test_errors_tell_their_subject_and_hint() -> None:
    out = io.StringIO()
    logs.set_up(LogSettings(), stream=out)
    structlog.get_logger().warning("no", error=NotFound("gone", subject="fraud/7", hint="look"))
    structlog.get_logger().warning("no", error=ValueError("x"))
    first, second = lines(out)
    assert (first["error"], first["subject"], first["hint"]) == ("gone", "fraud/7", "look")
    assert second["error"] == "ValueError: x"


def test_a_traceback_shows_no_values_of_variables() -> None:
    out = io.StringIO()
    logs.set_up(LogSettings(), stream=out)
    token = "a-secret-" + "token"
    try:
        len(token) / 0
    except ZeroDivisionError:
        structlog.get_logger().exception("failed")
    assert "ZeroDivisionError" in out.getvalue()
    assert token not in out.getvalue()


def test_on_a_terminal_lines_are_for_people_and_levels_hold() -> None:
    out = io.StringIO()
    logs.set_up(LogSettings(format="console", level="warning"), stream=out)
    structlog.get_logger().info("unheard")
    structlog.get_logger().warning("heard", pod="eu-0")
    assert "unheard" not in out.getvalue()
    assert "heard" in out.getvalue()
    assert "pod=eu-0" in out.getvalue()


def get(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_liveness_and_readiness_say_why_not() -> None:
    said: dict[str, str | bool | None] = {"live": True, "ready": "2 models still loading"}
    with HealthServer(live=lambda: said["live"], ready=lambda: said["ready"]) as server:
        assert server.port
        assert get(f"{server.url}/livez") == (200, "ok\n")
        assert get(f"{server.url}/readyz?verbose") == (503, "2 models still loading\n")
        said |= {"ready": None, "live": False}
        assert get(f"{server.url}/readyz") == (200, "ok\n")
        assert get(f"{server.url}/livez") == (503, "not live\n")
        assert get(f"{server.url}/tables")[0] == 404
        metrics.HEARTBEATS.labels("sent").inc()
        status, text = get(f"{server.url}/metrics")
        assert status == 200
        assert 'modelcast_heartbeats_total{outcome="sent"}' in text


def test_a_check_that_fails_itself_is_a_no() -> None:
    def broken() -> bool:
        raise RuntimeError("disk gone")

    with HealthServer(ready=broken) as server:
        assert get(f"{server.url}/readyz") == (503, "the check itself failed: disk gone\n")


def test_a_port_that_is_taken_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ModelcastError, match=f"127.0.0.1:{port}"):
            HealthServer(port=port).start()


def test_every_metric_is_ours_documented_and_bounded() -> None:
    wrapped = [m for m in vars(metrics).values() if isinstance(m, prometheus_client.metrics.MetricWrapperBase)]
    shown = [m for m in vars(metrics).values() if isinstance(m, metrics.Shown)]
    declared = [(m._name, m._documentation, m._labelnames) for m in wrapped]
    declared += [(m.name, m.documentation, m.labels) for m in shown]
    assert len(wrapped) > 20
    assert len(shown) > 5
    for name, documentation, labels in declared:
        assert name.startswith("modelcast_")
        assert len(documentation) > 10
        unbounded = {"version", "pod", "digest", "generation", "error"} & set(labels)
        assert not unbounded or name == "modelcast_build_info"  # which has one series a process
