"""``make bench``: every benchmark in turn, a short table each, one JSON file and a plot beside it.

make bench [pods road …] [ARGS="--json FILE"]
python -m tests.bench [--json FILE] [--only road fold …] [--rounds 5] [--quick] [--strict]
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.bench.figures import conditions

BENCHES = {
    "afternoon": ("tests.bench.afternoon", "publish() to serving in three regions, beside an afternoon's script"),
    "road": ("tests.bench.road", "publish() to staged and serving in three regions, as a ratio to a raw round trip"),
    "fold": ("tests.bench.fold", "pod states folded a second, as a ratio to a plain Faust agent"),
    "delta": ("tests.bench.delta", "deltas: size against the entropy bound, speed against memcpy"),
    "download": (
        "tests.bench.transfer.download",
        "1 GiB from a store to the disk, verified: beside boto3, obstore and curl",
    ),
    "link": ("tests.bench.link", "publish to staged behind 100 Mbit/s and 80 ms, as a ratio to bytes / rate"),
    "ablation": ("tests.bench.ablation", "what each accelerator saves: one off at a time, behind 100 Mbit/s and 80 ms"),
    "files": (
        "tests.bench.transfer.many_files",
        "10,000 small files: hashed, fetched, pulled, rebuilt, beside cp -r and sync",
    ),
    "gates": ("tests.bench.gates", "simulated rollouts: healthy versions rolled back, bad ones promoted, by rule"),
    "controller": ("tests.bench.rolling.controller", "rollout controller: reports of pods folded a second on one core"),
    "shares": ("tests.bench.rolling.shares", "a step's entry to its share read back on every pod of three regions"),
    "kills": (
        "tests.bench.rolling.kills",
        "rollout controller killed while shares rise: what fails, falls, waits",
    ),
    "dashboard": ("tests.bench.dashboard", "page in Chromium, 2,000 watchers, report to page; each beside its aim"),
    "rollover": ("tests.bench.rollover", "1,000 simulated pods get a version: seconds and herd, beside the prediction"),
    "pods": (
        "tests.bench.serving.pods",
        "swaps, latency, processor time, memory: ours, Triton, MLServer, KServe, bare applications",
    ),
    "choice": ("tests.bench.serving.choice", "choosing a version in the pod: with a rollout, without, the code absent"),
    "pod": ("tests.bench.serving.pod", "requests failed and p99 while versions swap, as a ratio to steady state"),
    "start": (
        "tests.bench.start",
        "processor time of a command line that starts, beside an empty Python and its clients",
    ),
}


def extras(name: str, options: argparse.Namespace) -> list[str]:
    """What one benchmark is told besides the rounds."""
    if name == "ablation":
        return ["--markdown", str(options.json.with_suffix(".ablation.md"))]
    if name == "gates":
        drawn = ["--svg", str(options.json.with_suffix(".gates.svg"))]
        return [*drawn, "--rollouts", "100"] if options.quick else drawn
    if name == "pods":
        return ["--quick"] if options.quick else ["--swaps", str(options.swaps), "--reloads", str(options.reloads)]
    if name == "dashboard" and options.quick:
        return ["--share", "0.1"]
    if name != "delta":
        return []
    drawn = ["--svg", str(options.json.with_suffix(".delta.svg"))]
    return drawn if options.quick else [*drawn, "--slow"]


def main() -> None:
    """Run what was asked for; a benchmark that fails is named, and the exit code says so."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, default=Path("bench.json"), help="where to write the figures")
    parser.add_argument("--only", nargs="+", choices=sorted(BENCHES), help="these alone")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--swaps", type=int, default=20, help="pods: of each server under load")
    parser.add_argument("--reloads", type=int, default=100, help="pods: after which memory is looked at")
    parser.add_argument("--strict", action="store_true", help="end with 1 if a promise was not held")
    parser.add_argument("--quick", action="store_true", help="small, without the tools that take minutes")
    options = parser.parse_args()
    found: dict[str, Any] = {"conditions": conditions(), "failed": []}
    for name in options.only or BENCHES:
        module, what = BENCHES[name]
        print(f"\n== {name}: {what}", flush=True)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "figures.json"
            rounds = [] if name == "pods" else ["--rounds", str(options.rounds)]
            command = [sys.executable, "-m", module, "--json", str(path), *rounds]
            if subprocess.run([*command, *extras(name, options)], check=False).returncode:
                found["failed"].append(name)
            if path.exists():  # one that could not measure all tells what it has
                found[name] = json.loads(path.read_text())
        options.json.write_text(json.dumps(found, indent=2) + "\n")
    print(f"\nfigures in {options.json}")
    broken = not_held(found)
    for line in broken:
        print(f"NOT held: {line}")
    if found["failed"]:
        raise SystemExit(f"failed: {', '.join(found['failed'])}")
    if broken and options.strict:
        raise SystemExit(f"{len(broken)} promises were not held")


def not_held(found: Mapping[str, Any]) -> list[str]:
    """The promises that figures do not hold, each with its benchmark's name."""
    named = {name: one["promises"] for name, one in found.items() if isinstance(one, dict) and "promises" in one}
    return [
        f"{name}: {promise}"
        for name, promises in named.items()
        for promise, judged in promises.items()
        if not judged["held"]
    ]


if __name__ == "__main__":
    main()
