"""The rollout controller is killed again and again while a rollout goes on under load (T13).

A whole stack on this machine, three regions with two pods each; users are drawn by a header. In each round kill -9 ends
the controller at some moment of a step, another one is started at once, and the next entry in the log shows that it has
gone on. Meanwhile every pod's share is looked at: it must never fall, and never be above what the log grants.

    python -m tests.bench.rolling.kills --json kills.json [--rounds 10]
"""

import argparse
import asyncio
import json
import os
import random
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from modelcast.cli.load.generator import LoadPlan, run_load
from modelcast.cli.load.tally import LoadTally
from modelcast.consumers.pod_clients.v2 import V2Pod
from modelcast.infra.local.ports import free_ports
from modelcast.infra.local.stack import LocalStack
from modelcast.infra.registry.configured import registry_of
from modelcast.infra.settings import Settings, load_settings
from modelcast.producers.planning.rollout_plan import rollout_plan_of
from modelcast.producers.rollouts import RolloutCommander
from modelcast.schemas.log.fold import ModelLog
from tests.bench.figures import conditions, promise, spread
from tests.bench.rolling.shares import MODEL, REGIONS, published
from tests.support.processes.daemon import Daemon

ROUNDS_MAX = 95
"""A plan has so many steps, and each round takes one."""
RATE, USERS = 120.0, 500
LOOK_SECONDS = 0.05
NEXT_ENTRY_SECONDS_MAX = 120.0
STEP_SECONDS = 1.0
GOES_ON_SECONDS_MAX = 10.0


@dataclass
class Watched:
    """What was seen of pods' shares."""

    highest: dict[str, int] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)
    looks: int = 0

    def look(self, pod: str, share: int, ceiling: int) -> None:
        """A pod gives the candidate ``share``; the log, read afterwards, grants ``ceiling``."""
        self.looks += 1
        if share < self.highest.get(pod, 0):
            self.broken.append(f"{pod} falls from {self.highest[pod]} to {share}")
        if share > ceiling:
            self.broken.append(f"{pod} gives {share}, granted are {ceiling}")
        self.highest[pod] = max(share, self.highest.get(pod, 0))


class Run:
    """One rollout whose controller is killed."""

    def __init__(self, settings: Settings, controller: Daemon, rollout: str, chance: random.Random) -> None:
        self._reader, self._controller, self._rollout, self._random = registry_of(settings), controller, rollout, chance
        self._urls = [url for region in settings.regions.values() for url in region.pod_urls]
        self._pods = [V2Pod(u, u, r.token_sent) for r in settings.regions.values() for u in r.pod_urls]
        self._log: ModelLog | None = None
        self.watched, self.tally, self.seconds = Watched(), LoadTally(), list[float]()

    async def run(self, rounds: int) -> None:
        """So many kills."""
        body = json.dumps({"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 2], "data": [1.0, 2.0]}]}).encode()
        plan = LoadPlan(self._urls, MODEL, [body], RATE, 3600.0, header="x-user", users=USERS)
        beside = [asyncio.create_task(run_load(plan, self.tally)), asyncio.create_task(self._watch())]
        try:
            await self._next_entry(await self._head())
            for _ in range(rounds):
                await asyncio.sleep(self._random.uniform(0, 2 * STEP_SECONDS))
                head, began = await self._head(), time.monotonic()
                await asyncio.to_thread(self._controller.kill)
                self._controller.start()
                await self._next_entry(head)
                self.seconds.append(time.monotonic() - began)
                print(f"  round {len(self.seconds)}: went on after {self.seconds[-1]:.1f} s", flush=True)
        finally:
            for task in beside:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
            for pod in self._pods:
                await pod.aclose()

    async def _head(self) -> int:
        self._log = (await asyncio.to_thread(self._reader.tail, MODEL, self._log)).log
        rollout = self._log.rollout
        assert rollout is not None and rollout.id == self._rollout and rollout.active, rollout
        return self._log.head

    async def _next_entry(self, above: int) -> None:
        deadline = time.monotonic() + NEXT_ENTRY_SECONDS_MAX
        while await self._head() <= above:
            assert time.monotonic() < deadline, "the rollout does not go on"
            await asyncio.sleep(LOOK_SECONDS)

    async def _watch(self) -> None:
        while True:
            for pod in self._pods:
                reading = await pod.read_traffic(MODEL)
                await self._head()
                assert self._log is not None and self._log.rollout is not None
                self.watched.look(
                    pod.name, reading.shares.get(2, 0), max(self._log.rollout.ceilings.values(), default=0)
                )
            await asyncio.sleep(LOOK_SECONDS)


def measure(rounds: int, seed: int) -> dict[str, Any]:
    """The rounds, and what was broken."""
    with (
        tempfile.TemporaryDirectory() as home,
        LocalStack.start(Path(home) / "stack", regions=REGIONS, pods_per_region=2) as stack,
    ):
        os.environ.update({name: str(value) for name, value in stack.env.items()})
        settings = load_settings()
        env = {**os.environ, "MODELCAST_DAEMON__PORT": str(free_ports(1)[0]), "MODELCAST_DAEMON__DATA_DIR": f"{home}/c"}
        controller = Daemon("rollouts", ["-m", "modelcast.cli.main", "run", "rollouts"], env, Path(home)).start()
        try:
            published(settings, Path(home))
            shares = ",".join(f"{20 + 0.5 * n:g}@{STEP_SECONDS:g}s" for n in range(rounds + 4))
            with RolloutCommander(settings) as commander:
                command = commander.start(MODEL, 2, rollout_plan_of("gradual", steps=shares, key="header:x-user"))
            assert command is not None
            run = Run(settings, controller, command.rollout, random.Random(seed))
            asyncio.run(run.run(rounds))
        finally:
            controller.kill()
    report = run.tally.report()
    return {
        "rounds": rounds,
        "seed": seed,
        "seconds": run.seconds,
        "requests": report.requests,
        "failures": report.failures,
        "examples": report.examples,
        "went_back": report.went_back,
        "looks": run.watched.looks,
        "broken": run.watched.broken[:20],
    }


def main() -> None:
    """Measure, print a line, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="where to write the figures")
    parser.add_argument("--rounds", type=int, default=10, choices=range(1, ROUNDS_MAX + 1), metavar="ROUNDS")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    begun, found = conditions(), measure(options.rounds, options.seed)
    print(f"{found['rounds']} kills: went on after {spread(found['seconds'])}")
    print(f"{found['failures']} of {found['requests']} requests failed, {found['went_back']} users went back")
    print(f"of {found['looks']} looks at shares {len(found['broken'])} were wrong")
    found["promises"] = {
        "no request fails": promise(found["failures"], 0),
        "no user goes back": promise(found["went_back"], 0),
        "no share falls or is above its grant": promise(len(found["broken"]), 0),
        f"it goes on within {GOES_ON_SECONDS_MAX:g} s": promise(max(found["seconds"]), GOES_ON_SECONDS_MAX),
    }
    if options.json:
        options.json.write_text(json.dumps({"conditions": begun, **found}, indent=2) + "\n")


if __name__ == "__main__":
    main()
