"""One trace from ``publish()`` to the last pod's read-back, over real daemons: also where one was killed meanwhile."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelcast.infra.local.service import DaemonService
from modelcast.infra.local.stack import LocalStack
from modelcast.infra.settings import KafkaSettings, Settings
from modelcast.infra.telemetry.tracing import TRACEPARENT
from modelcast.schemas.topics import Topic, partition_of
from tests.support.processes.command_line import CommandLine
from tests.support.processes.services import ForkedService
from tests.support.servers.otlp import OtlpReceiver, ReceivedSpan
from tests.support.servers.topic_reader import TopicReader
from tests.support.waiting import until

pytestmark = [pytest.mark.integration, pytest.mark.soak]

REGIONS = ("eu", "us")
STEPS = {"scan", "upload", "claim", "announce"}
IN_REGION = {"wake", "fetch", "stage", "load", "read back", "ack", "fold"}


@pytest.fixture(scope="module")
def receiver() -> Iterator[OtlpReceiver]:
    with OtlpReceiver() as receiver:
        yield receiver


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, receiver: OtlpReceiver) -> Iterator[LocalStack]:
    where = tmp_path_factory.mktemp("traced")
    with LocalStack.start(
        where, regions=REGIONS, pods_per_region=1, service=ForkedService, extra_env=receiver.env
    ) as stack:
        yield stack


@pytest.fixture
def modelcast(stack: LocalStack, tmp_path: Path) -> CommandLine:
    return CommandLine(stack.env, tmp_path)


def of_publication(receiver: OtlpReceiver, version: int) -> list[ReceivedSpan]:
    """All spans of the trace that a version's publication began."""
    (root,) = [span for span in receiver.named("publish") if span.attributes["modelcast.version"] == version]
    assert root.parent_id == ""
    return [span for span in list(receiver.spans) if span.trace_id == root.trace_id]


def check_whole(spans: list[ReceivedSpan], *, every_load: bool = True) -> None:
    """Every part is there, below something that is there, and began after the publication did.

    Not ``every_load``: the pod of a region that was killed may have obeyed the order before it could be given again.
    """
    ids = {span.span_id for span in spans}
    assert [span.name for span in spans if span.parent_id and span.parent_id not in ids] == []
    names = {span.name for span in spans}
    assert names >= STEPS | IN_REGION | {f"region {region}" for region in REGIONS}, names
    (root,) = [span for span in spans if not span.parent_id]
    regions = {span.span_id: span for span in spans if span.name.startswith("region ")}
    assert len(regions) == len([span for span in spans if span.name.startswith("region ")]) == len(REGIONS)
    assert {span.parent_id for span in regions.values()} == {root.span_id}
    for name in ("wake", *(["load"] if every_load else []), "read back", "ack", "fold"):
        assert {span.parent_id for span in spans if span.name == name and not span.failed} == regions.keys(), name
    assert {span.service for span in spans} == {"modelcast-publisher", "modelcast-region", "modelcast-tracker"}
    assert all(root.began_ns <= span.began_ns <= span.ended_ns for span in spans)
    assert len([span for span in spans if span.name == "read back"]) >= len(REGIONS)


def settled(receiver: OtlpReceiver, version: int, *, every_load: bool = True) -> bool:
    check_whole(of_publication(receiver, version), every_load=every_load)
    return True


def test_a_publication_is_one_trace_and_its_announcement_names_it(
    modelcast: CommandLine, stack: LocalStack, receiver: OtlpReceiver
) -> None:
    modelcast("publish", "traced", modelcast.model(1), "--wait", **receiver.env)
    until(lambda: settled(receiver, 1), "the trace is whole")
    (root,) = [span for span in of_publication(receiver, 1) if not span.parent_id]
    kafka = KafkaSettings(bootstrap_servers=stack.env["MODELCAST_KAFKA__BOOTSTRAP_SERVERS"])
    reader = TopicReader(Settings(kafka=kafka))
    try:
        announced = reader.messages(Topic.MODEL_UPDATES, partition_of("traced"))[0]
    finally:
        reader.close()
    assert dict(announced.headers() or [])[TRACEPARENT] == f"00-{root.trace_id}-{root.span_id}-01".encode()


def test_a_region_that_is_killed_in_between_goes_on_in_the_same_trace(
    modelcast: CommandLine, stack: LocalStack, receiver: OtlpReceiver
) -> None:
    modelcast("publish", "traced", modelcast.model(1), "--wait", **receiver.env)
    agent, pod = stack.services["region-eu"], stack.services["pod-eu-0"]
    assert isinstance(agent, DaemonService)
    pod.child.signal(signal.SIGSTOP)
    modelcast("publish", "traced", modelcast.model(2), **receiver.env)
    until(lambda: {s.attributes["modelcast.version"] for s in receiver.named("publish")} >= {2}, "it is published")
    trace = of_publication(receiver, 2)[0].trace_id
    until(
        lambda: len([s for s in receiver.named("fetch") if s.trace_id == trace]) == len(REGIONS),
        "both regions have fetched it",
    )
    agent.child.kill()
    pod.child.signal(signal.SIGCONT)
    agent.restart()
    until(lambda: settled(receiver, 2, every_load=False), "the trace is whole")


def test_what_a_person_commands_is_a_trace_too(modelcast: CommandLine, receiver: OtlpReceiver) -> None:
    modelcast("publish", "commanded", modelcast.model(1), "--wait", **receiver.env)
    modelcast("reload", "commanded", "--yes", **receiver.env)
    until(lambda: len(receiver.named("reload")) == 1, "the command is a root")
    (root,) = receiver.named("reload")

    def read_back() -> bool:
        below = [span for span in list(receiver.spans) if span.trace_id == root.trace_id]
        return len([span for span in below if span.name == "read back"]) == len(REGIONS)

    until(read_back, "every pod was read back in its trace")
