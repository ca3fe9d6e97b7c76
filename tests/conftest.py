"""Servers for every test, started when first asked for, and CI's rule that nothing is skipped."""

import os
import signal
import tempfile
from collections.abc import Callable, Iterator

import pytest

from modelcast.infra.local.kafka import KafkaServer
from modelcast.infra.local.redis import RedisServer
from modelcast.infra.local.s3 import S3Server
from tests.support.servers import S3ForTests, required_binary, start_versitygw

# A shell starts what it puts into the background with SIGINT ignored, and children inherit that: tests send SIGINT.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Publishers keep what they publish as bases of later deltas: not in the cache of whoever runs the tests.
_bases = tempfile.TemporaryDirectory(prefix="modelcast-test-bases-")
os.environ.setdefault("MODELCAST_PUBLISH__BASE_CACHE_DIR", _bases.name)

SKIPS_ALLOWED = os.environ.get("CI") != "true"
SKIPPED_BEFORE = "modelcast/skipped"
_skipped: list[str] = []


@pytest.fixture(scope="session")
def kafka_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaServer]:
    """The session's embedded Kafka. A test that kills or stops it starts one of its own instead."""
    server = KafkaServer.start(tmp_path_factory.mktemp("kafka"))
    yield server
    server.stop()


@pytest.fixture(scope="session")
def kafka(kafka_server: KafkaServer) -> str:
    """Bootstrap servers of the embedded Kafka. Topics are shared: use fresh names, or none of the real ones."""
    return kafka_server.bootstrap_servers


@pytest.fixture
def kafka_of_its_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaServer]:
    """An embedded Kafka that the test may break."""
    server = KafkaServer.start(tmp_path_factory.mktemp("kafka"))
    yield server
    server.stop()


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3ForTests]:
    """The embedded S3 server (moto)."""
    server = S3Server.start(tmp_path_factory.mktemp("s3"))
    yield S3ForTests(server.endpoint_url)
    server.stop()


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """The embedded Redis."""
    server = RedisServer.start(tmp_path_factory.mktemp("redis"))
    yield server
    server.stop()


@pytest.fixture(scope="session")
def redis_url(redis_server: RedisServer) -> str:
    """URL of the embedded Redis. Keys are shared: use fresh names or flush."""
    return redis_server.url


@pytest.fixture(scope="session")
def versitygw(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3ForTests]:
    """A real S3 server on real files, for tests marked ``real``."""
    program = required_binary("versitygw", "MODELCAST_VERSITYGW")
    child, server = start_versitygw(program, tmp_path_factory.mktemp("versitygw"))
    yield server
    child.stop()


@pytest.fixture(scope="session")
def debian_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of the machine's own redis-server, for tests marked ``real``."""
    program = required_binary("redis-server", "MODELCAST_REDIS_SERVER")
    server = RedisServer.start(tmp_path_factory.mktemp("redis"), executable=program)
    yield server.url
    server.stop()


@pytest.fixture
def aws_env(monkeypatch: pytest.MonkeyPatch) -> Callable[[S3ForTests], None]:
    """Returns a function that puts a test store's credentials into the environment."""

    def use(store: S3ForTests) -> None:
        for name, value in store.env.items():
            monkeypatch.setenv(name, value)

    return use


def pytest_sessionstart(session: pytest.Session) -> None:
    """A rerun of what failed forgets nothing that was skipped."""
    if session.config.getoption("lf", default=False) and getattr(session.config, "cache", None) is not None:
        _skipped.extend(session.config.cache.get(SKIPPED_BEFORE, []))


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Note every skip."""
    if report.skipped and not hasattr(report, "wasxfail"):
        _skipped.append(f"{report.nodeid}: {report.longrepr[2] if isinstance(report.longrepr, tuple) else ''}")


def pytest_collectreport(report: pytest.CollectReport) -> None:
    """Note every module that is skipped whole."""
    if report.skipped:
        _skipped.append(f"{report.nodeid}: {report.longrepr[2] if isinstance(report.longrepr, tuple) else ''}")


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """In CI a skipped test is a failed run."""
    if getattr(session.config, "cache", None) is not None and not hasattr(session.config, "workerinput"):
        session.config.cache.set(SKIPPED_BEFORE, _skipped)
    if _skipped and not SKIPS_ALLOWED and exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name the skipped tests where they fail the run."""
    if _skipped and not SKIPS_ALLOWED:
        terminalreporter.section("skipped, and in CI that fails")
        for line in _skipped:
            terminalreporter.write_line(line)
