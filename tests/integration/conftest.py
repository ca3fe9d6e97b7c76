"""One stack for all of these tests (two regions, one pod each); each test has models of its own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from modelcast.infra.local.stack import LocalStack
from modelcast.infra.settings import KafkaSettings, Settings, load_settings
from tests.support.processes.command_line import CommandLine
from tests.support.processes.services import ForkedService
from tests.support.servers.topic_reader import TopicReader

SOON = {"MODELCAST_TRACKER__PROBE_SECONDS": "2"}


@pytest.fixture(scope="package")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    where = tmp_path_factory.mktemp("stack")
    with LocalStack.start(
        where, regions=("eu", "us"), pods_per_region=1, service=ForkedService, extra_env=SOON
    ) as stack:
        yield stack


@pytest.fixture(scope="package")
def topics(stack: LocalStack) -> Iterator[TopicReader]:
    kafka = KafkaSettings(bootstrap_servers=stack.env["MODELCAST_KAFKA__BOOTSTRAP_SERVERS"])
    reader = TopicReader(Settings(kafka=kafka))
    yield reader
    reader.close()


@pytest.fixture
def modelcast(stack: LocalStack, tmp_path: Path) -> CommandLine:
    return CommandLine(stack.env, tmp_path)


@pytest.fixture
def settings(stack: LocalStack, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The stack's settings, in this process too."""
    for name, value in stack.env.items():
        monkeypatch.setenv(name, value)
    return load_settings()
