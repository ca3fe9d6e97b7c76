"""How soon a rollout's share is in force: from the entry's standing in the log to every pod's answering by it (T5).

A whole stack on this machine: three regions with two pods each, the real controller, agents and Kafka. A rollout goes
through many small steps; the log and each pod are asked again and again from outside. What is measured holds one look
at the log and one at the pods too much, ``LOOK_SECONDS`` and a request each.

    python -m tests.bench.rolling.shares --json shares.json [--rounds 5]
"""

import argparse
import asyncio
import json
import os
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from modelcast.cli.load.generator import LoadPlan, run_load
from modelcast.cli.load.tally import LoadTally
from modelcast.consumers.pod_clients.v2 import V2Pod
from modelcast.infra.local.stack import LocalStack
from modelcast.infra.registry.configured import registry_of
from modelcast.infra.settings import Settings, load_settings
from modelcast.producers import Publisher
from modelcast.producers.planning.rollout_plan import rollout_plan_of
from modelcast.producers.rollouts import RolloutCommander
from modelcast.schemas.records import Activation
from tests.bench.figures import conditions, promise, spread
from tests.consumers.pod.models import adder

REGIONS = ("eu", "us", "ap")
MODEL = "adder"
LOOK_SECONDS = 0.02
RATE = 120.0
STEP_SECONDS_MAX = 60.0
IN_FORCE_SECONDS_MAX = 1.0
STEPS_A_ROUND = 5


def published(settings: Settings, folder: Path) -> None:
    """Version 1 is served everywhere, version 2 staged."""
    with Publisher(settings) as publisher:
        for version, activation in ((1, Activation.IMMEDIATE), (2, Activation.STAGED)):
            home = folder / str(version)
            home.mkdir()
            for path, data in adder(100.0 * version).files.items():
                (home / path).write_bytes(data)
            found = publisher.publish(MODEL, home, activation=activation)
            if activation is Activation.IMMEDIATE:
                found.wait("all", timeout=120)


async def steps_in_force(settings: Settings, rollout: str, steps: int) -> list[float]:
    """Seconds of each step, from when it was seen in the log to when all pods were read back with it."""
    reader, log = registry_of(settings), None
    pods = [V2Pod(url, url, region.token_sent) for region in settings.regions.values() for url in region.pod_urls]
    found, done = list[float](), 0
    deadline = time.monotonic() + STEP_SECONDS_MAX * steps
    try:
        while len(found) < steps and time.monotonic() < deadline:
            log = await asyncio.to_thread(reader.tail, MODEL, log)
            log = log.log
            current = log.rollout
            assert current is not None and current.id == rollout and current.active, current
            if not current.ceilings or current.generation == done:
                await asyncio.sleep(LOOK_SECONDS)
                continue
            done, began = current.generation, time.monotonic()
            share = max(current.ceilings.values())
            while True:
                readings = await asyncio.gather(*(pod.read_traffic(MODEL) for pod in pods))
                if all(each.authority[0] >= done and each.shares.get(2, 0) >= share for each in readings):
                    break
                assert time.monotonic() - began < STEP_SECONDS_MAX, "a share is not in force"
                await asyncio.sleep(LOOK_SECONDS)
            found.append(time.monotonic() - began)
    finally:
        for pod in pods:
            await pod.aclose()
    return found


async def _under_load(settings: Settings, rollout: str, steps: int) -> list[float]:
    """With requests, without which no step would count."""
    urls = [url for region in settings.regions.values() for url in region.pod_urls]
    body = json.dumps({"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 2], "data": [1.0, 2.0]}]}).encode()
    load = asyncio.create_task(run_load(LoadPlan(urls, MODEL, [body], RATE, 3600.0), LoadTally()))
    try:
        return await steps_in_force(settings, rollout, steps)
    finally:
        load.cancel()
        with suppress(asyncio.CancelledError):
            await load


def measure(rounds: int) -> dict[str, Any]:
    """The seconds of all steps."""
    steps = STEPS_A_ROUND * rounds
    with (
        tempfile.TemporaryDirectory() as home,
        LocalStack.start(Path(home) / "stack", regions=REGIONS, pods_per_region=2, rollouts=True) as stack,
    ):
        os.environ.update({name: str(value) for name, value in stack.env.items()})
        settings = load_settings()
        published(settings, Path(home))
        shares = ",".join(f"{share}@2s" for share in range(20, steps + 22))
        plan = rollout_plan_of("gradual", steps=shares)
        with RolloutCommander(settings) as commander:
            command = commander.start(MODEL, 2, plan)
        assert command is not None
        seconds = asyncio.run(_under_load(settings, command.rollout, steps))
    return {"seconds": seconds, "spread": spread(seconds), "max": max(seconds)}


def main() -> None:
    """Measure, print a line, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="where to write the figures")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    begun, found = conditions(), measure(options.rounds)
    worst = found["max"]
    print(f"{len(found['seconds'])} steps in force on six pods: {found['spread']}, at most {worst:.2f} s")
    said = f"a share is in force everywhere at most {IN_FORCE_SECONDS_MAX:g} s after its entry"
    found["promises"] = {said: promise(worst, IN_FORCE_SECONDS_MAX)}
    if options.json:
        options.json.write_text(json.dumps({"conditions": begun, **found}, indent=2) + "\n")


if __name__ == "__main__":
    main()
