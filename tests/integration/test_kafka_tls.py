"""Kafka over TLS with a company's own CA and passwords: everybody speaks it, by one set of settings."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelcast.infra.kafka.admin import describe
from modelcast.infra.settings import Settings, load_settings
from modelcast.schemas.errors import KafkaUnavailable
from tests.agents.region.stack import Stack
from tests.support.network.tls import CLIENT_KEY_PASSWORD, TlsFront, make_authority
from tests.support.processes.command_line import CommandLine, pods_of, predicts
from tests.support.processes.daemon import Daemon
from tests.support.servers.stores import S3ForTests
from tests.support.servers.tls_kafka import PASSWORD, TlsKafka, tls_kafka
from tests.support.waiting import until

pytestmark = [pytest.mark.integration, pytest.mark.timeout(420)]

SECRETS = (PASSWORD, CLIENT_KEY_PASSWORD)


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TlsKafka]:
    with tls_kafka(tmp_path_factory.mktemp("tls")) as server:
        yield server


@pytest.fixture
def other_ca(tmp_path: Path) -> Path:
    return make_authority(tmp_path / "another")[0]


def mutual(broker: TlsKafka, **changes: str) -> dict[str, str]:
    """Settings of somebody who shows a certificate."""
    properties = {
        "security.protocol": "ssl",
        "ssl.ca.location": str(broker.ca),
        "ssl.certificate.location": str(broker.folder / "client.pem"),
        "ssl.key.location": str(broker.folder / "client.key"),
        "ssl.key.password": CLIENT_KEY_PASSWORD,
        **changes,
    }
    chosen = {name: value for name, value in properties.items() if value}
    return {
        "MODELCAST_KAFKA__BOOTSTRAP_SERVERS": broker.mutual,
        "MODELCAST_KAFKA__PROPERTIES": json.dumps(chosen),
    }


def settings_of(monkeypatch: pytest.MonkeyPatch, env: dict[str, str], seconds: float = 10) -> Settings:
    for name, value in {**env, "MODELCAST_KAFKA__TIMEOUT_SECONDS": str(seconds)}.items():
        monkeypatch.setenv(name, value)
    return load_settings()


@pytest.mark.parametrize("kind", ["password", pytest.param("certificate", marks=pytest.mark.soak)])
def test_publisher_region_tracker_and_command_line_speak_tls(
    kind: str, broker: TlsKafka, s3: S3ForTests, redis_url: str, tmp_path: Path
) -> None:
    """Redis, too, is reached over TLS with a CA of its own."""
    ca, certificate = make_authority(tmp_path / "redis")
    parts = redis_url.removeprefix("redis://").partition("/")
    with TlsFront(f"http://{parts[0]}", certificate) as front:
        env = {
            **(broker.env() if kind == "password" else mutual(broker)),
            "MODELCAST_REDIS__URL": f"rediss://127.0.0.1:{front.port}/{parts[2]}",
            "MODELCAST_REDIS__SSL_CA_LOCATION": str(ca),
        }
        stack = Stack(tmp_path, "", s3, ("eu",), 1, env)
        try:
            for name, arguments in (("tracker", ["tracker"]), ("region", ["region", "eu"])):
                command = ["-m", "modelcast.cli.main", "run", *arguments]
                process = Daemon(name, command, stack.env, tmp_path)
                stack.processes.append(process.start())
            modelcast = CommandLine(stack.env, tmp_path)
            modelcast("publish", "fraud", modelcast.model(1), "--wait", "--timeout", "120s")
            assert {predicts(pod, "fraud") for pod in pods_of(stack.env)} == {(1, 1.0)}
            until(lambda: modelcast("get", "fraud", "-o", "json").json["source"] == "redis", "Redis has it", 30)
            assert (
                modelcast("get", "fraud", "-o", "json", MODELCAST_REDIS__URL="rediss://127.0.0.1:9/0").json["source"]
                == "kafka"
            )
            shown = modelcast("config", "show").out
            told = shown + "".join(p.log.read_text() for p in stack.processes)
            assert not [secret for secret in SECRETS if secret in told]
            assert "********" in shown
        finally:
            stack.stop()


@pytest.mark.soak
def test_plain_passwords_work_over_tls_too(broker: TlsKafka, monkeypatch: pytest.MonkeyPatch) -> None:
    assert describe(settings_of(monkeypatch, broker.env("PLAIN"))).topics


def wrong(broker: TlsKafka, other_ca: Path) -> dict[str, tuple[dict[str, str], str, str]]:
    """(settings, what is told, what to look at)."""
    plain = {"MODELCAST_KAFKA__BOOTSTRAP_SERVERS": broker.secure}
    return {
        "ca": (
            broker.env(MODELCAST_KAFKA__SSL_CA_LOCATION=str(other_ca)), "certificate verify failed", "ssl_ca_location"
        ),
        "password": (broker.env(MODELCAST_KAFKA__SASL_PASSWORD="wrong"), "uthentication failed", "kafka.sasl_password"),
        "plain password": (
            broker.env("PLAIN", MODELCAST_KAFKA__SASL_PASSWORD="wrong"), "uthentication failed", "kafka.sasl_password"
        ),
        "no tls": (plain, "", "kafka.security_protocol"),
        "tls where none is spoken": (
            broker.env(MODELCAST_KAFKA__BOOTSTRAP_SERVERS=broker.admin.kafka.bootstrap_servers),
            "closed by peer",
            "kafka.security_protocol",
        ),
        "no certificate": (
            mutual(broker, **{"ssl.certificate.location": "", "ssl.key.location": "", "ssl.key.password": ""}),
            "certificate required",
            "ssl.certificate.location",
        ),
    }  # fmt: skip


@pytest.mark.parametrize(
    "which",
    [
        "ca",
        "password",
        *(
            pytest.param(each, marks=pytest.mark.soak)
            for each in ("plain password", "no tls", "tls where none is spoken", "no certificate")
        ),
    ],
)
def test_what_is_wrong_is_named(which: str, broker: TlsKafka, other_ca: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    env, told, place = wrong(broker, other_ca)[which]
    for seconds in (2, 20):  # all of the time is waited out: a busy machine may need more than the first
        with pytest.raises(KafkaUnavailable) as refused:
            describe(settings_of(monkeypatch, env, seconds))
        if told in str(refused.value) and place in refused.value.hint:
            break
    assert told in str(refused.value)
    assert place in refused.value.hint
    assert not [secret for secret in (*SECRETS, "wrong") if secret in str(refused.value)]


@pytest.mark.soak
@pytest.mark.parametrize("which", ["ca", "password"])
@pytest.mark.parametrize("daemon", ["region eu", "tracker"])
def test_a_daemon_that_cannot_connect_says_why_in_its_log(
    daemon: str, which: str, broker: TlsKafka, other_ca: Path, s3: S3ForTests, tmp_path: Path
) -> None:
    env, told, place = wrong(broker, other_ca)[which]
    stack = Stack(tmp_path, "", s3, ("eu",), 0, env | {"MODELCAST_KAFKA__TIMEOUT_SECONDS": "3"})
    command = ["-m", "modelcast.cli.main", "run", *daemon.split()]
    process = Daemon(daemon, command, stack.env, tmp_path).start()
    try:
        until(lambda: process.lines("waiting for kafka"), "it says so", 60)
        line = process.lines("waiting for kafka")[0]
        assert told in str(line["error"])
        assert place in str(line["error"])
        assert not [secret for secret in SECRETS if secret in process.log.read_text()]
    finally:
        process.stop()


@pytest.mark.soak
@pytest.mark.parametrize("daemon", ["region eu", "tracker"])
@pytest.mark.parametrize(
    ("properties", "told"),
    [
        ('{"compression.type": "zstd"}', "kafka.properties: compression.type"),
        ('{"sasl.password": "hidden"}', "kafka.sasl_password is set, but kafka.security_protocol PLAINTEXT"),
        ('{"security.protocol": "ssl", "ssl.ca.location": "/nowhere"}', "kafka.ssl_ca_location: /nowhere"),
    ],
)
def test_a_daemon_refuses_to_start_with_what_its_streams_cannot_honour(
    daemon: str, properties: str, told: str, tmp_path: Path
) -> None:
    env = {
        **{name: value for name, value in os.environ.items() if not name.startswith("MODELCAST_")},
        "MODELCAST_KAFKA__PROPERTIES": properties,
        "MODELCAST_STORES__ORIGIN__URL": "s3://origin",
        "MODELCAST_REGIONS__EU__STORE__URL": "s3://eu",
    }
    ended = subprocess.run(
        [sys.executable, "-m", "modelcast.cli.main", "run", *daemon.split()],
        capture_output=True, text=True, cwd=tmp_path, env=env, timeout=120, check=False,
    )  # fmt: skip
    assert ended.returncode == 2
    assert told in ended.stderr
    assert "→" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert "hidden" not in ended.stderr
