"""What a command costs before it does anything: libraries are imported by the commands that use them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from modelcast.infra.local.servers.redis import RedisServer
from tests.support.servers.told_view import tell_of_a_model

HEAVY = {"boto3", "botocore", "confluent_kafka", "faust", "aiokafka", "redis", "pydantic_settings", "structlog",
         "fastavro", "yaml", "asyncio", "numpy", "aiohttp", "prometheus_client",
         "ssl", "http.client"}  # fmt: skip
"""Without pydantic itself: typer checks options with it, and it reads the installed metadata, which needs email."""
CLIENTS = HEAVY - {"pydantic_settings", "yaml", "structlog", "asyncio", "ssl"}
"""What the settings alone never need; asyncio and ssl come with pydantic_settings."""
MODULES_MAX = {("--version",): 398, ("config", "show"): 500}
"""Of all libraries and our own, by command, with Python 3.11."""
MORE_IN_LATER_PYTHONS = 20
"""So many more parts does their own library have."""

SCRIPT = """
import sys
from modelcast.cli.main import run
try:
    run()
finally:
    print(*sorted(sys.modules), file=sys.stderr)
"""


def imported(*arguments: str, **env: str) -> set[str]:
    """The modules that a command has imported when it ends."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, **env},
        timeout=170,
        check=False,
    )
    assert "typer" in done.stderr, done.stderr
    return set(done.stderr.splitlines()[-1].split()) - {"sitecustomize"}  # of whoever runs the tests


@pytest.mark.parametrize("arguments", [("--help",), ("--version",), ("publish", "--help"), ("run", "pod", "--help")])
def test_help_and_version_import_no_heavy_library(arguments: tuple[str, ...]) -> None:
    assert not imported(*arguments) & HEAVY


def test_importing_the_command_line_reads_no_installed_metadata() -> None:
    found = subprocess.run(
        [sys.executable, "-c", "import sys, modelcast.cli.main; print(*sys.modules)"],
        capture_output=True,
        text=True,
        timeout=170,
        check=True,
    )
    assert not set(found.stdout.split()) & {"importlib.metadata", "email", "logging", "modelcast.cli.doctor.checks"}


@pytest.mark.parametrize(("arguments", "modules_max"), MODULES_MAX.items())
def test_few_modules_are_imported(arguments: tuple[str, ...], modules_max: int) -> None:
    later = sys.version_info >= (3, 12)
    assert len(imported(*arguments)) <= modules_max + MORE_IN_LATER_PYTHONS * later


def test_completion_imports_no_heavy_library() -> None:
    asked = {"_MODELCAST_COMPLETE": "complete_bash", "COMP_WORDS": "modelcast pub", "COMP_CWORD": "1"}
    assert not imported(**asked) & HEAVY


def test_a_command_imports_what_it_uses_and_no_more() -> None:
    assert "yaml" in imported("config", "show")
    assert not imported("config", "show") & {"boto3", "confluent_kafka", "redis", "faust"}


def test_the_settings_are_shown_without_any_client_or_server_library() -> None:
    assert not imported("config", "show") & CLIENTS


def test_looking_for_what_redis_tells_imports_neither_the_agents_libraries_nor_arrays() -> None:
    url = "redis://127.0.0.1:1"  # nobody listens there; Kafka neither, so the command ends soon
    elsewhere = {"MODELCAST_REDIS__URL": url, "MODELCAST_KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:1",
                 "MODELCAST_KAFKA__TIMEOUT_SECONDS": "1"}  # fmt: skip
    assert not imported("get", "models", **elsewhere) & {"faust", "aiokafka", "aiohttp", "numpy", "boto3"}


NOT_FOR_AN_ANSWER = {"faust", "aiokafka", "aiohttp", "numpy", "scipy", "onnx", "onnxruntime", "boto3", "botocore",
                     "confluent_kafka", "prometheus_client", "structlog", "yaml", "pcodec", "zstandard", "dns",
                     "modelcast.agents", "modelcast.consumers.artifacts", "modelcast.consumers.fetch",
                     "modelcast.consumers.pod", "modelcast.deltas", "modelcast.producers",
                     "modelcast.infra.stores", "modelcast.infra.kafka"}  # fmt: skip
"""What ``get`` never needs where Redis answers."""


@pytest.mark.integration
@pytest.mark.parametrize("what", ["models", "regions", "pods", "fraud"])
def test_what_redis_tells_is_shown_without_the_libraries_of_those_who_wrote_it(what: str, tmp_path: Path) -> None:
    server = RedisServer.start(tmp_path)
    try:
        tell_of_a_model(server.url)
        env = {"MODELCAST_REDIS__URL": server.url, "MODELCAST_KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:1"}
        assert not imported("get", what, "-o", "json", **env) & NOT_FOR_AN_ANSWER
    finally:
        server.stop()
