"""The rollout controller: reports of pods folded a second on one core (T22).

Models times regions times pods report once a second, both versions; each report is decoded and goes through the
production decider, and a tick a second decides. The processor seconds that a second of reports takes are the part of a
core that the controller needs, Kafka's client aside.

    python -m tests.bench.rolling.controller --json controller.json [--rounds 5] [--models 30 --pods 30]
"""

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from modelcast.agents.rollout.decider import facts
from modelcast.agents.rollout.decider.step import advance
from modelcast.schemas.codec import decode_as, encode
from modelcast.schemas.traffic.reports import PodCounts, VersionCounts
from modelcast.schemas.traffic.steps_and_gates import CANARY
from tests.agents.rollout.decider.makers import Bench
from tests.bench.figures import conditions, promise
from tests.schemas.evidence.test_predictions import CONSTANT, SCORES, plan_of
from tests.schemas.traffic.makers import digest_of_version, log_with_rollout

REGIONS = ("ap", "eu", "us")
SECONDS = 5
ROWS_MIN, CORE_MAX = 3_000, 0.5
"""T22: so many rows a second with at most so much of a core."""


def reports(region: str, pods: int, second: int) -> list[bytes]:
    """Encoded: what the pods of a region have counted by then: 100 requests a second each."""
    scores = tuple((n % 7) * second for n in range(40))
    found = []
    for pod in range(pods):
        versions = tuple(
            VersionCounts(
                version, digest_of_version(version), True, rate * second, second // 9, slow=second, slow_harmful=second,
                latency=(0,) * 20 + (rate * second,), looked=rate * second, scores=scores,
            )
            for version, rate in ((7, 90), (8, 10))
        )  # fmt: skip
        report = PodCounts(
            "registry", "fraud", region, f"{region}-{pod}", "a", 1, second, second * 1_000_000, 3, 1, 1, versions
        )
        found.append(encode(report))
    return found


def folded(models: int, pods: int, *, predictions: bool) -> dict[str, float]:
    """Rows a processor second, and the part of a core that 3,000 of them a second take."""
    gates = plan_of(CONSTANT, SCORES) if predictions else CANARY.gates
    made = Bench(log_with_rollout(plan=replace(CANARY, gates=gates)), REGIONS)
    made.begin()
    made.seconds_pass(3, requests=1_000)
    states = [made.state] * models
    rows, used = 0, 0.0
    for second in range(10, 10 + SECONDS):
        batches = [reports(region, pods, second) for region in REGIONS]
        now = facts.Moment(made.seconds + second, made.wall_us + second * 1_000_000)
        began = time.process_time()
        for number, state in enumerate(states):
            for batch in batches:
                for each in batch:
                    state, _ = advance(state, facts.CountsHeard(decode_as(PodCounts, each)), now)
            state, _ = advance(state, facts.Ticked(), now)
            states[number] = state
        used += time.process_time() - began
        rows += models * len(REGIONS) * pods
    return {"rows_per_cpu_second": rows / used, "core_for_3000_rows_per_second": ROWS_MIN * used / rows}


def measure(rounds: int, models: int, pods: int) -> dict[str, Any]:
    """The median of the rounds."""
    found: dict[str, Any] = {}
    for name, predictions in (("errors and latency", False), ("with gates on predictions", True)):
        each = sorted((folded(models, pods, predictions=predictions) for _ in range(rounds)),
                      key=lambda one: one["rows_per_cpu_second"])  # fmt: skip
        found[name] = each[len(each) // 2]
    return found


def main() -> None:
    """Measure, print a table, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="where to write the figures")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--models", type=int, default=30)
    parser.add_argument("--pods", type=int, default=30, help="of a model in each of three regions")
    options = parser.parse_args()
    begun, found = conditions(), measure(options.rounds, options.models, options.pods)
    found["promises"] = {}
    for name in ("errors and latency", "with gates on predictions"):
        core = found[name]["core_for_3000_rows_per_second"]
        print(f"{name}: {found[name]['rows_per_cpu_second']:,.0f} rows a processor second; 3,000 a second take "
              f"{100 * core:.0f} % of a core")  # fmt: skip
        said = f"{ROWS_MIN:,} rows a second take at most {CORE_MAX:.0%} of a core ({name})"
        found["promises"][said] = promise(core, CORE_MAX)
    if options.json:
        options.json.write_text(json.dumps({"conditions": begun, **found}, indent=2) + "\n")


if __name__ == "__main__":
    main()
