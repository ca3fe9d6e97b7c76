"""A region's spans: every step of an entry once, below the region's own, which ends with the last read-back."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from modelcast.agents.region.reporting.spans import SpanOutbox, SpanSteps
from modelcast.agents.region.shell.notices import LoggedSteps
from modelcast.agents.region.shell.reconciler import Reconciler
from modelcast.infra.telemetry.tracing import SpanRecord, TraceKey
from modelcast.schemas.codec import encode
from modelcast.schemas.states import State
from modelcast.schemas.topics import Topic
from tests.agents.region.scene import SOON, Scene
from tests.agents.region.words import MODEL, REGION, REGISTRY, Log
from tests.agents.tracker.makers import pages, pod
from tests.support.servers.otlp import KeptSpans

PATH = ("region", REGION)


@pytest.fixture
def spans() -> KeptSpans:
    return KeptSpans()


@pytest.fixture
async def scene(spans: KeptSpans) -> AsyncIterator[Scene]:
    made = Scene(Log().publish(1))
    made.world = replace(made.world, observer=SpanSteps(spans, REGION, LoggedSteps()))
    made.reconciler = Reconciler(MODEL, made.world, made.state, made.book, SOON, made.replaced.append)
    yield made
    await made.end()


def of(spans: KeptSpans, generation: int) -> dict[str, list[SpanRecord]]:
    found: dict[str, list[SpanRecord]] = {}
    for span in spans.taken:
        if span.key == TraceKey(REGISTRY, MODEL, generation):
            found.setdefault(span.name, []).append(span)
    return found


async def test_an_entry_is_one_span_of_the_region_with_its_steps_below(scene: Scene, spans: KeptSpans) -> None:
    await scene.start()
    await scene.serves(1)
    await scene.until(lambda: f"region {REGION}" in of(spans, 1), "the region's span is over")
    found = of(spans, 1)
    assert {name: len(each) for name, each in found.items()} == {
        "wake": 1, "fetch": 1, "stage": 1, "load": 2, "read back": 2, f"region {REGION}": 1,
    }  # fmt: skip
    (whole,) = found[f"region {REGION}"]
    assert (whole.parent, whole.path) == ((), PATH)
    assert {span.parent for name in ("wake", "fetch", "load", "read back") for span in found[name]} == {PATH}
    assert found["stage"][0].parent == found["fetch"][0].path
    assert {span.attributes["modelcast.pod"] for span in found["read back"]} == {"p", "q"}
    parts = [span for name, each in found.items() if name != f"region {REGION}" for span in each]
    assert all(whole.began_ns <= span.began_ns <= span.ended_ns <= whole.ended_ns for span in parts)


async def test_a_pod_that_does_not_answer_is_a_failed_load_and_the_next_one_is_told_too(
    scene: Scene, spans: KeptSpans
) -> None:
    scene.pods["p"].away = True
    await scene.start()
    await scene.until(lambda: scene.pods["q"].serves, "the other pod serves")
    assert f"region {REGION}" not in of(spans, 1)
    scene.pods["p"].away = False
    await scene.serves(1)
    await scene.until(lambda: f"region {REGION}" in of(spans, 1), "the region's span is over")
    assert {span.attributes["modelcast.pod"] for span in of(spans, 1)["read back"]} == {"p", "q"}


async def test_what_is_served_already_is_no_new_span(scene: Scene, spans: KeptSpans) -> None:
    await scene.start()
    await scene.serves(1)
    await scene.until(lambda: f"region {REGION}" in of(spans, 1), "the region's span is over")
    taken = len(spans.taken)
    scene.reconciler.refresh()
    await scene.reconciler.refreshed()
    assert len(spans.taken) == taken


async def test_a_pod_that_loses_it_later_begins_no_second_span_of_the_region(scene: Scene, spans: KeptSpans) -> None:
    await scene.start()
    await scene.serves(1)
    await scene.until(lambda: f"region {REGION}" in of(spans, 1), "the region's span is over")
    scene.pods["p"].serves = None
    await scene.serves(1)
    scene.log.publish(2)
    await scene.reconciler.announced(2)
    await scene.until(lambda: f"region {REGION}" in of(spans, 2), "the next entry's span is over")
    assert len(of(spans, 1)[f"region {REGION}"]) == len(of(spans, 1)["wake"]) == 1


def test_an_entry_is_acknowledged_once_when_kafka_has_it(spans: KeptSpans) -> None:
    sent: list[object] = []
    outcomes = iter((False, True, True))

    class Outbox:
        def send(self, topic: Topic, key: str, value: bytes, on_delivery, headers, /) -> None:  # type: ignore[no-untyped-def]
            sent.append(headers)
            on_delivery(next(outcomes))

    told: list[bool] = []
    outbox = SpanOutbox(Outbox(), spans)
    (ack,) = pages("eu", [pod("a", 1, 1)])
    assert ack.state is State.SERVING
    for _ in range(3):
        outbox.send(Topic.MODEL_ACKS, MODEL, encode(ack), told.append, {"h": b"1"})
    assert told == [False, True, True]
    assert sent == [{"h": b"1"}] * 3
    (span,) = spans.taken
    assert (span.name, span.parent, span.key.generation) == ("ack", ("region", "eu"), ack.generation)
