"""What a command costs before it does anything: processor time, beside an empty Python and one that imports clients.

Each round starts every command ``STARTS`` times, in turn, so that whatever else the machine does meets all alike.
``get models`` is answered by a Redis of its own. Bytecode is there, as after the first start of an installed package.

    python -m tests.bench.start --json start.json [--rounds 5]
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from modelcast.infra.local.layout import inherited_env
from modelcast.infra.local.servers.redis import RedisServer
from tests.bench.figures import conditions, spread
from tests.support.servers.told_view import MODEL, tell_of_a_model

STARTS = 6
PYTHON, CLIENTS = "python -c pass", "import confluent_kafka, boto3"
MODELCAST = str(Path(sys.executable).with_name("modelcast"))
COMMANDS = {
    PYTHON: (sys.executable, "-c", "pass"),
    CLIENTS: (sys.executable, "-c", "import confluent_kafka, boto3"),
    "modelcast --version": (MODELCAST, "--version"),
    "modelcast config show": (MODELCAST, "config", "show"),
    "modelcast get models": (MODELCAST, "get", "models"),
}
CPU_SECONDS_MAX = {"modelcast --version": 0.25, "modelcast config show": 0.25, "modelcast get models": 0.5}
"""What is promised of the median."""


def started(command: Sequence[str], env: Mapping[str, str], folder: Path) -> tuple[float, float, str]:
    """Processor seconds, seconds and output of a command that must end well.

    Raises:
        RuntimeError: it ended with another code than 0.
    """
    began = time.perf_counter()
    child = subprocess.Popen(
        command,
        env=env,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert child.stdout is not None
    with child.stdout as out:
        said = out.read()
    _, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {child.returncode}: {said}")
    return used.ru_utime + used.ru_stime, time.perf_counter() - began, said


def measure(rounds: int, folder: Path) -> dict[str, Any]:
    """Figures by command, and the promises."""
    cpu: dict[str, list[float]] = {name: [] for name in COMMANDS}
    wall: dict[str, list[float]] = {name: [] for name in COMMANDS}
    server = RedisServer.start(folder / "redis")
    try:
        tell_of_a_model(server.url)
        env = {
            **inherited_env(),
            "MODELCAST_REDIS__URL": server.url,
            "MODELCAST_KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:1",
        }
        env.pop("PYTHONDONTWRITEBYTECODE", None)
        for name, command in COMMANDS.items():  # not measured: bytecode is written, files are read from the disk
            said = started(command, env, folder)[2]
            assert name != "modelcast get models" or MODEL in said, said
        for _ in range(rounds * STARTS):
            for name, command in COMMANDS.items():
                cpu_seconds, seconds, _ = started(command, env, folder)
                cpu[name].append(cpu_seconds)
                wall[name].append(seconds)
    finally:
        server.stop()
    figures: dict[str, Any] = {
        name: {
            "cpu_seconds": spread(cpu[name]),
            "seconds": spread(wall[name]),
            "cpu_by_python": spread([ours / bare for ours, bare in zip(cpu[name], cpu[PYTHON], strict=True)]),
            "cpu_by_clients": spread([ours / theirs for ours, theirs in zip(cpu[name], cpu[CLIENTS], strict=True)]),
        }
        for name in COMMANDS
    }
    promises = {
        f"{name}: at most {most:g} s of processor time": {"held": figures[name]["cpu_seconds"]["median"] <= most}
        for name, most in CPU_SECONDS_MAX.items()
    }
    return {"starts": rounds * STARTS, "commands": figures, "promises": promises}


def main() -> None:
    """Print the table, and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    begun = conditions()
    with tempfile.TemporaryDirectory(prefix="start-bench-") as folder:
        figures = measure(options.rounds, Path(folder))
    print(f"{figures['starts']} starts each")
    print(f"{'':32} {'CPU s: median (min to max)':>28} {'wall s':>7} {'/ python':>9} {'/ clients':>10} {'at most':>8}")
    for name, row in figures["commands"].items():
        cpu = row["cpu_seconds"]
        most = f"{CPU_SECONDS_MAX[name]:.2f}" if name in CPU_SECONDS_MAX else ""
        print(
            f"{name:32} {cpu['median']:10.3f} ({cpu['min']:.3f} to {cpu['max']:.3f}) {row['seconds']['median']:7.3f}"
            f" {row['cpu_by_python']['median']:9.1f} {row['cpu_by_clients']['median']:10.2f} {most:>8}"
        )
    options.json.write_text(json.dumps({"conditions": begun, **figures}, indent=2) + "\n")


if __name__ == "__main__":
    main()
