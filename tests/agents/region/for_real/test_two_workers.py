"""Two workers of one region: one may die, sleep or leave at any moment."""

import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from modelcast.infra.local.servers.kafka import KafkaServer
from modelcast.producers import Publisher
from modelcast.schemas.topics import partition_of
from tests.agents.region.for_real.test_region_for_real import publish_unheard, served_by
from tests.agents.region.stack import Stack, Topics
from tests.support.processes.daemon import Daemon
from tests.support.waiting import until

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

TAKEOVER_SECONDS_MAX = 15.0


def partitions(agent: Daemon) -> set[int]:
    """What an agent was assigned last."""
    lines = agent.lines("partitions assigned")
    return set(lines[-1]["partitions"]) if lines else set()  # type: ignore[call-overload]


def two_workers(stack: Stack) -> tuple[Daemon, Daemon]:
    """Both run and share the partitions."""
    agents = stack.agent(worker="a"), stack.agent(worker="b")
    until(
        lambda: (
            all(partitions(a) for a in agents)
            and not partitions(agents[0]) & partitions(agents[1])
            and len(partitions(agents[0]) | partitions(agents[1])) == 12
        ),
        "they share the partitions",
        60,
    )
    return agents


def split_by_owner(agents: tuple[Daemon, Daemon], model: str) -> tuple[Daemon, Daemon]:
    """(the model's owner, the other)."""
    first, second = agents
    return (first, second) if partition_of(model) in partitions(first) else (second, first)


def test_two_workers_share_the_models_and_one_takes_over_when_the_other_is_killed(
    stack: Stack, topics: Topics, publisher: Publisher
) -> None:
    agents = two_workers(stack)
    models = ["fraud", "churn", "spam", "price"]
    for model in models:
        publisher.publish(model, stack.model(1))
        until(lambda model=model: topics.serving(model, 1), f"{model} serves")
    workers = {a.worker for a in topics.acks}
    owner, other = split_by_owner(agents, "fraud")
    before = served_by(stack)
    owner.kill()
    killed_at = time.monotonic()
    publisher.publish("fraud", stack.model(2))
    until(lambda: topics.serving("fraud", 2), "the other takes over and serves what was published", 40)
    seconds = time.monotonic() - killed_at
    print(f"takeover after kill -9, to SERVING: {seconds:.1f} s")
    assert seconds < TAKEOVER_SECONDS_MAX
    ack = topics.latest("fraud")
    assert ack is not None
    assert ack.epoch >= 2
    assert f'"{ack.worker}"' in f'"{other.name.rpartition("-")[2]}"'
    assert [i for _, i in served_by(stack)] == [i for _, i in before]
    assert workers <= {"a", "b"}


@pytest.mark.soak
def test_a_worker_that_was_stopped_and_wakes_after_the_takeover_changes_nothing(
    stack: Stack, topics: Topics, publisher: Publisher
) -> None:
    agents = two_workers(stack)
    publisher.publish("fraud", stack.model(1))
    until(lambda: topics.serving("fraud", 1), "version 1 serves")
    owner, _ = split_by_owner(agents, "fraud")
    owner.signal(signal.SIGSTOP)
    try:
        publisher.publish("fraud", stack.model(2))
        until(lambda: topics.serving("fraud", 2), "the other takes over", 40)
        until(lambda: (m := stack.memory("fraud")) and m.served and m.served.version == 2, "it is remembered")
        taken = topics.latest("fraud")
        assert taken is not None
        publisher.publish("fraud", stack.model(3))
        until(lambda: topics.serving("fraud", 3), "version 3 serves")
        until(lambda: (m := stack.memory("fraud")) and m.served and m.served.version == 3, "it is remembered")
    finally:
        owner.signal(signal.SIGCONT)
    generation, epochs = 3, []
    deadline = time.monotonic() + 12
    while time.monotonic() < deadline:
        memory = stack.memory("fraud")
        assert memory is not None
        assert memory.accepted_generation >= generation
        assert memory.served is not None
        assert memory.served.version == 3
        epochs.append(memory.epoch)
        assert {v for v, _ in served_by(stack)} == {"3"}
        newest = topics.latest("fraud")
        assert newest is not None
        assert newest.version == 3
        time.sleep(0.2)
    assert epochs == sorted(epochs)
    publisher.publish("fraud", stack.model(4))
    until(lambda: topics.serving("fraud", 4), "version 4 serves, whoever owns it now", 30)


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_two_workers_whose_kafka_loses_its_data_go_on_by_the_log_and_share_the_models_again(
    make_stack: Callable[..., Stack], tmp_path: Path
) -> None:
    server = KafkaServer.start(tmp_path / "kafka-one")
    models = ["fraud", "churn", "spam", "price"]

    def serve(stack: Stack, version: str) -> None:
        for model in models:
            until(
                lambda model=model: {v for v, _ in served_by(stack, model=model)} == {version},
                f"{model}/{version} is served",
                180,
            )

    try:
        stack = make_stack(kafka=server.bootstrap_servers, extra={"MODELCAST_REGIONS__EU__RECONCILE_SECONDS": "2"})
        agents = two_workers(stack)
        with Publisher(stack.settings) as publisher:
            for model in models:
                publisher.publish(model, stack.model(1))
        serve(stack, "1")
        before = served_by(stack)
        assignments = [len(agent.lines("partitions assigned")) for agent in agents]
        server.stop()
        for model in models:
            publish_unheard(stack, stack.model(2), model)
        serve(stack, "2")
        server = KafkaServer.start(tmp_path / "kafka-two", port=server.port)
        for model in models:
            publish_unheard(stack, stack.model(3), model)
        serve(stack, "3")
        until(
            lambda: (
                all(len(a.lines("partitions assigned")) > n for a, n in zip(agents, assignments, strict=True))
                and all(partitions(a) for a in agents)
                and not partitions(agents[0]) & partitions(agents[1])
            ),
            "they share the partitions of the new cluster",
            180,
        )
        with Publisher(stack.settings) as publisher:
            for model in models:
                publisher.publish(model, stack.model(4))
        serve(stack, "4")
        assert [i for _, i in served_by(stack)] == [i for _, i in before]  # no pod was restarted

        def rightly_owned() -> bool:
            owners = {m: (memory := stack.memory(m)) and memory.owner.partition("#")[0] for m in models}
            right = {m: split_by_owner(agents, m)[0].name.rpartition("-")[2] for m in models}
            return owners == right

        until(rightly_owned, "each model is with whom the group gave it to", 180)
    finally:
        server.stop()


@pytest.mark.soak
def test_a_worker_that_leaves_hands_over_at_once(stack: Stack, topics: Topics, publisher: Publisher) -> None:
    agents = two_workers(stack)
    publisher.publish("fraud", stack.model(1))
    until(lambda: topics.serving("fraud", 1), "version 1 serves")
    owner, _ = split_by_owner(agents, "fraud")
    owner.signal(signal.SIGTERM)
    publisher.publish("fraud", stack.model(2))
    seconds = until(lambda: topics.serving("fraud", 2), "the other takes over", 40)
    print(f"takeover after SIGTERM, to SERVING: {seconds:.1f} s")
    assert seconds < TAKEOVER_SECONDS_MAX
