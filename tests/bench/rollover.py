"""A thousand simulated pods get a new version: how long it takes, and how many load at once, beside the prediction.

The pods are simulated; the decision is the real one, and so is its cost.
"""

import argparse
import json
import math
import random
import time
from pathlib import Path
from typing import Any

from modelcast.agents.region.decider.rollover_policy import RolloverPolicy
from modelcast.schemas.text.amounts import Amount
from tests.agents.region.decider.rollover.world import PodActor, RolloverWorld
from tests.bench.figures import conditions

PODS = 1000
LOAD_SECONDS = 5.0
POLICIES = {
    "default (25 % at once)": RolloverPolicy(),
    "10 at once": RolloverPolicy(Amount(10)),
    "10 %, pause 60 s": RolloverPolicy(Amount(10, percent=True), pause_seconds=60.0),
    "10 %, ready 20 s": RolloverPolicy(Amount(10, percent=True), min_ready_seconds=20.0),
    "25 %, jitter 0.2 s": RolloverPolicy(jitter_seconds=0.2),
    "one of three zones after the other": RolloverPolicy(order="zone"),
}


def predicted_seconds(policy: RolloverPolicy, zones: dict[str, int], load_seconds: float, *, gapless: bool) -> float:
    """How long a rollover takes in which nothing goes wrong, from its first order to the last pod that serves.

    A batch of m pods takes (m - 1) * jitter / 2 + load; between two batches pass max(pause, min_ready). Without a
    pause there are no batches: each place of ``at_once`` takes a pod every load + min_ready seconds, unless orders that
    are jitter / 2 apart take longer. Zones are one after the other.

    Args:
        policy: its bounds.
        zones: pods in each zone; one zone where the order is another.
        load_seconds: what each load takes.
        gapless: whether a swap has no gap; else minimum healthy bounds it, too.
    """
    pods = sum(zones.values())
    at_once = policy.at_once_of(pods)
    if not gapless:
        at_once = min(at_once, pods - policy.min_healthy.of(pods))
    apart, ready, pause = policy.jitter_seconds / 2, policy.min_ready_seconds, policy.pause_seconds
    total = 0.0
    for number, count in enumerate(zones.values()):
        batches = math.ceil(count / at_once)
        if pause:
            total += (count - batches) * apart + batches * load_seconds + (batches - 1) * max(pause, ready)
            total += max(pause, ready) if number else 0.0
        else:
            places = (batches - 1) * (load_seconds + ready) + load_seconds
            total += max(places, (count - 1) * apart + load_seconds) + (ready if number else 0.0)
    return total


def rolled(
    policy: RolloverPolicy, *, gapless: bool, spread: float = 0.0, pods: int = PODS
) -> tuple[RolloverWorld, float]:
    """A finished rollover, and the seconds of this machine that deciding took."""
    rng = random.Random(7)
    zoned, load = policy.order == "zone", LOAD_SECONDS
    fleet = [
        PodActor(f"pod-{n:04}", load * (1 + rng.uniform(-spread, spread)), f"z{n % 3}" if zoned else "", gapless)
        for n in range(pods)
    ]
    world = RolloverWorld(fleet, policy)
    began = time.perf_counter()
    world.run()
    return world, time.perf_counter() - began


def zones_of(world: RolloverWorld) -> dict[str, int]:
    """How many pods there are in each zone."""
    return {zone: sum(p.zone == zone for p in world.pods) for zone in sorted({p.zone for p in world.pods})}


def measure(spread: float = 0.3) -> list[dict[str, Any]]:
    """A row for each policy, with and without a gap; a load takes up to ``spread`` more or less than was predicted."""
    rows = []
    for name, policy in POLICIES.items():
        for gapless in (True, False):
            world, cost = rolled(policy, gapless=gapless, spread=spread)
            rows.append(
                {
                    "policy": name,
                    "gapless": gapless,
                    "seconds": round(world.now, 1),
                    "predicted_seconds": round(
                        predicted_seconds(policy, zones_of(world), LOAD_SECONDS, gapless=gapless), 1
                    ),
                    "most_under_way": world.most_under_way,
                    "allowed": policy.at_once_of(PODS),
                    "decisions": world.decisions,
                    "microseconds_a_decision": round(cost / world.decisions * 1e6),
                }
            )
    return rows


def main() -> None:
    """Print the table, and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=1, help="every round would be the same")
    options = parser.parse_args()
    rows = measure()
    print(f"{PODS} pods, {LOAD_SECONDS:g} s a load (± 30 %)")
    print(f"{'policy':36} {'gap':>4} {'seconds':>8} {'predicted':>9} {'at once':>8} {'allowed':>8} {'µs each':>8}")
    for row in rows:
        print(
            f"{row['policy']:36} {'no' if row['gapless'] else 'yes':>4} {row['seconds']:8} {row['predicted_seconds']:9}"
            f" {row['most_under_way']:8} {row['allowed']:8} {row['microseconds_a_decision']:8}"
        )
    options.json.write_text(json.dumps({"conditions": conditions(), "rows": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
