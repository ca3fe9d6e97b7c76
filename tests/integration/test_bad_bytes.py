"""Whatever lands on the topics: it goes to the dead letters with its reason, and what is healthy flows."""

from dataclasses import replace

import pytest

from modelcast.infra.kafka.client import make_producer
from modelcast.infra.local.stack import LocalStack
from modelcast.infra.registry.reader import RegistryReader
from modelcast.infra.settings import Settings
from modelcast.infra.stores.configured import origin_store
from modelcast.schemas.codec import encode
from modelcast.schemas.records import ModelAck, ModelUpdate
from modelcast.schemas.states import State
from modelcast.schemas.topics import Topic, partition_of
from tests.support.processes.command_line import CommandLine, pods_of, predicts
from tests.support.records.folding import in_statement
from tests.support.waiting import until

pytestmark = pytest.mark.integration

MODEL = "healthy"


def test_bad_records_become_dead_letters_and_healthy_ones_flow(
    modelcast: CommandLine, stack: LocalStack, settings: Settings
) -> None:
    modelcast("publish", MODEL, modelcast.model(1), "--wait")
    reader = RegistryReader(origin_store(settings))
    timed = reader.entry(MODEL, 1)
    assert timed is not None
    entry, here = timed.entry, partition_of(MODEL)
    assert isinstance(entry, ModelUpdate)
    ack = ModelAck(
        registry_id="of-another-registry", model=MODEL, region="eu", worker="w", epoch=99, sequence=1, page=0, pages=1,
        generation=1, version=9, manifest_digest=entry.artifact.manifest_digest, state=State.SERVING, reported_at_us=1,
    )  # fmt: skip
    good = timed.body
    updates = {
        b"noise, as from a client that lost its way": None,
        good[: len(good) // 2]: None,
        b"\xc3\x01" + b"\x07" * 8 + good[10:]: "unknown-schema",
        encode(entry): "bad-value",
        bytes(300 * 1024): None,
        in_statement(replace(entry, registry_id="of-another-registry")): "foreign-registry",
        in_statement(replace(entry, event_id="of-somebody-else", version=7)): None,
        in_statement(replace(entry, generation=40)): None,
        encode(ack): None,
    }
    acks = {b"more noise": None, encode(ack): "foreign-registry", good: "bad-value", encode(ack)[:30]: None}
    producer = make_producer(settings)
    for topic, bodies in ((Topic.MODEL_UPDATES, updates), (Topic.MODEL_ACKS, acks)):
        for body in bodies:
            producer.produce(topic, body, key=MODEL.encode(), partition=here)
    astray = replace(entry, event_id="astray")
    producer.produce(Topic.MODEL_UPDATES, in_statement(astray), key=MODEL.encode(), partition=(here + 1) % 12)
    producer.produce(Topic.MODEL_UPDATES, None, key=MODEL.encode(), partition=here)
    assert producer.flush(20) == 0

    modelcast("publish", MODEL, modelcast.model(2), "--wait")
    assert {predicts(pod, MODEL) for pod in pods_of(stack.env)} == {(2, 2.0)}

    places: list[tuple[str, int, int]] = []

    def letters() -> dict[tuple[str, str], set[str]]:
        found: dict[tuple[str, str], set[str]] = {}
        places.clear()
        for stored in modelcast("dead-letters", "list", "--last", "200", "-o", "json").json:
            letter = stored["letter"]
            found.setdefault((letter["source_topic"], letter["raw"]), set()).add(letter["reason"])
            places.append((letter["source_topic"], letter["source_partition"], letter["source_offset"]))
        return found

    def missing() -> list[str]:
        found = letters()
        wanted = [(str(Topic.MODEL_UPDATES), body, why) for body, why in updates.items()]
        wanted += [(str(Topic.MODEL_ACKS), body, why) for body, why in acks.items()]
        wanted.append((str(Topic.MODEL_UPDATES), in_statement(astray), "wrong-partition"))
        lacking = []
        for topic, body, why in wanted:
            reasons = found.get((topic, body[: 128 * 1024].hex()), set())
            if not reasons or (why and why not in reasons):
                lacking.append(f"{topic} {body[:24]!r}: {reasons or 'no letter'}, not {why}")
        return lacking

    until(lambda: not missing(), lambda: f"each has its letter; lacking: {missing()}", 60)
    assert len(places) == len(set(places)), "one letter a record, however many read it"
    state = modelcast("get", MODEL, "-o", "json").json["state"]
    assert (state["head_generation"], state["consistent_version"]) == (2, 2)
    assert len(modelcast("history", MODEL, "-o", "json").json) == 2
    modelcast("publish", MODEL, modelcast.model(3), "--wait")
    assert {predicts(pod, MODEL) for pod in pods_of(stack.env)} == {(3, 3.0)}
