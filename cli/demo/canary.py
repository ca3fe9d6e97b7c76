"""A rollout of a version that fails on every real request: it leaves traffic by itself, and no user sees it fail."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelcast.cli.demo.answers import INPUT_NAME, MODEL_FILE
from modelcast.infra.registry.configured import registry_of
from modelcast.infra.settings import Settings
from modelcast.producers.planning.rollout_plan import rollout_plan_of
from modelcast.producers.rollouts import RolloutCommander
from modelcast.schemas.errors import NotConverged
from modelcast.schemas.traffic.grant import RolloutPhase

STEPS = "10@1m,100"
POLL_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class CanaryEnd:
    """How a rollout ended.

    Attributes:
        phase: ABORTED, where it left by itself.
        seconds: from its start to its end.
        why: in words.
    """

    phase: str
    seconds: float
    why: str


def write_failing(good: Path, folder: Path) -> None:
    """A version that loads, and can't answer: its input is given a shape that does not fit.

    Args:
        good: folder of the version that it is made from.
        folder: to be made.
    """
    import onnx
    from onnx import TensorProto, helper

    model = onnx.load(good / MODEL_FILE)
    for node in model.graph.node:
        for place, name in enumerate(node.input):
            if name == INPUT_NAME:
                node.input[place] = "reshaped"
    # A shape that is only known when it runs: else the model would not load at all.
    nodes: list[Any] = [
        helper.make_node("Shape", [INPUT_NAME], ["sizes"]),
        helper.make_node("Add", ["sizes", "one_more"], ["too_large"]),
        helper.make_node("Reshape", [INPUT_NAME, "too_large"], ["reshaped"]),
    ]
    model.graph.initializer.append(helper.make_tensor("one_more", TensorProto.INT64, [2], [0, 1]))
    graph = helper.make_graph(
        [*nodes, *model.graph.node], model.graph.name, model.graph.input, model.graph.output, model.graph.initializer
    )
    failing = helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version)
    folder.mkdir(parents=True)
    (folder / MODEL_FILE).write_bytes(failing.SerializeToString())


def roll_out(settings: Settings, model: str, version: int, *, timeout_seconds: float) -> CanaryEnd:
    """Start a canary of a version that is published, and return once it is over.

    Raises:
        NotConverged: it is not over in time.
        Refused: an agent can't take part.
    """
    with RolloutCommander(settings) as commander:
        command = commander.start(model, version, rollout_plan_of("canary", steps=STEPS), reason="the demo tries it")
    assert command is not None
    began, reader, log = time.monotonic(), registry_of(settings), None
    while True:
        log = reader.tail(model, log).log
        found = log.rollout
        if found is not None and found.id == command.rollout and not found.active:
            return CanaryEnd(str(found.phase), time.monotonic() - began, found.reason)
        if time.monotonic() - began > timeout_seconds:
            phase = found.phase if found is not None else "not started"
            raise NotConverged(f"the canary is {phase} after {timeout_seconds:.0f} s", subject=f"{model}/{version}")
        time.sleep(POLL_SECONDS)


def complaint(end: CanaryEnd) -> str:
    """What is broken about how it ended; "": nothing."""
    return "" if end.phase == RolloutPhase.ABORTED else f"a canary that harms leaves by itself: it is {end.phase}"
