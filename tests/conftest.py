"""Servers for every test, started when first asked for; lanes; and CI's rule that nothing is skipped."""

import gc
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
import structlog
from xdist.remote import Producer
from xdist.workermanage import WorkerController

from modelcast.infra.local.servers.kafka import KafkaServer
from tests.support.any_format import ANY_FORMAT
from tests.support.servers.shared_servers import ServerOwner, ask, share, shared
from tests.support.servers.stores import S3ForTests, required_binary
from tests.support.suite.report import ALONE_SECONDS_MAX, amended, too_slow
from tests.support.suite.scheduling import ByScope, rank

# A run starts hundreds of processes: where bytecode is not kept, as in many images, each would compile it all again.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# A shell starts what it puts into the background with SIGINT ignored, and children inherit that: tests send SIGINT.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Publishers keep what they publish as bases of later deltas: not in the cache of whoever runs the tests.
_bases = tempfile.TemporaryDirectory(prefix="modelcast-test-bases-")
os.environ.setdefault("MODELCAST_PUBLISH__BASE_CACHE_DIR", _bases.name)
os.environ |= ANY_FORMAT

SKIPS_ALLOWED = os.environ.get("CI") != "true"
SKIPPED_BEFORE = "modelcast/skipped"
REPORT_FILE = os.environ.pop("MODELCAST_TEST_REPORT", "")
"""Where what came of the tests is added up; not for a pytest that a test starts."""
OWNER = pytest.StashKey[ServerOwner]()
_skipped: list[str] = []


@pytest.fixture(autouse=True)
def default_logging() -> Iterator[None]:
    """What a command set up for its own process concerns no later test."""
    yield
    if structlog.is_configured():
        structlog.reset_defaults()


@pytest.fixture(scope="session")
def servers() -> Callable[[str], str]:
    """Gives the address of a server of ``STARTERS``, which all workers share."""
    return shared


@pytest.fixture(scope="session")
def kafka(servers: Callable[[str], str]) -> str:
    """Bootstrap servers of the embedded Kafka. Topics are shared: use fresh keys, and run no agent there."""
    return servers("kafka")


@pytest.fixture
def kafka_of_its_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaServer]:
    """An embedded Kafka that the test may break."""
    server = KafkaServer.start(tmp_path_factory.mktemp("kafka"))
    yield server
    server.stop()


@pytest.fixture(scope="session")
def s3(servers: Callable[[str], str]) -> S3ForTests:
    """The embedded S3 server (moto). Use fresh buckets."""
    return S3ForTests(servers("s3"))


@pytest.fixture(scope="session")
def redis_url(servers: Callable[[str], str]) -> str:
    """URL of the embedded Redis. Keys are shared: use a registry of your own, and flush nothing."""
    return servers("redis")


@pytest.fixture(scope="session")
def versitygw(servers: Callable[[str], str]) -> S3ForTests:
    """A real S3 server on real files, for tests marked ``real``."""
    required_binary("versitygw", "MODELCAST_VERSITYGW")
    return S3ForTests(servers("versitygw"))


@pytest.fixture(scope="session")
def debian_redis(servers: Callable[[str], str]) -> str:
    """URL of the machine's own redis-server, for tests marked ``real``."""
    required_binary("redis-server", "MODELCAST_REDIS_SERVER")
    return servers("debian_redis")


@pytest.fixture
def aws_env(monkeypatch: pytest.MonkeyPatch) -> Callable[[S3ForTests], None]:
    """Returns a function that puts a test store's credentials into the environment."""

    def use(store: S3ForTests) -> None:
        for name, value in store.env.items():
            monkeypatch.setenv(name, value)

    return use


def is_worker(config: pytest.Config) -> bool:
    """Whether this process runs tests for another one."""
    return hasattr(config, "workerinput")


def pytest_configure(config: pytest.Config) -> None:
    """The process that people started owns the servers; none of them starts before it is asked for."""
    if hasattr(config, "workerinput"):
        share(partial(ask, config.workerinput["servers"]))
    else:
        config.stash[OWNER] = ServerOwner()
        share(config.stash[OWNER].where)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: WorkerController) -> None:
    """Tell a worker where to ask for servers."""
    node.workerinput["servers"] = node.config.stash[OWNER].address


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ByScope | None:
    """Files stay together, unless ``scheduling`` says otherwise."""
    config.option.loadscopereorder = False
    return ByScope(config, log) if config.getvalue("dist") == "loadfile" else None


def pytest_unconfigure(config: pytest.Config) -> None:
    """End the servers."""
    if OWNER in config.stash:
        config.stash[OWNER].stop()


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """What is collected lives to the end: to look for garbage among it would take seconds of each worker."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes long starts first."""
    items.sort(key=lambda item: rank(item.nodeid))


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
    if getattr(session.config, "cache", None) is not None and not is_worker(session.config):
        session.config.cache.set(SKIPPED_BEFORE, _skipped)
    if _skipped and not SKIPS_ALLOWED and exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name what was skipped where that fails the run, what took long, and what passed only when it was run again."""
    if _skipped and not SKIPS_ALLOWED:
        terminalreporter.section("skipped, and in CI that fails")
        for line in _skipped:
            terminalreporter.write_line(line)
    if slow := too_slow(terminalreporter.stats):
        terminalreporter.section(f"took more than {ALONE_SECONDS_MAX:.0f} s: {len(slow)}")
        for name, seconds in slow.items():
            terminalreporter.write_line(f"{seconds:.0f} s {name}")
    if not REPORT_FILE:
        return
    with amended(Path(REPORT_FILE)) as report:
        report.take_in(terminalreporter.stats)
    if report.second_try:
        terminalreporter.section(f"passed only on the second try: {len(report.second_try)}, counted in {REPORT_FILE}")
        for name in report.second_try:
            terminalreporter.write_line(name)
