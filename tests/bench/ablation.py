"""What each accelerator saves: everything on, then one of them off at a time, side by side in one run.

One region behind 100 Mbit/s and 80 ms (``network/slow_link.py``), its own bucket near, the stores a versitygw on
real files. Each variant has processes of its own, with the variable of ``modelcast.infra.ablation``. What is measured
of each situation, from the call of ``publish()`` until the region has staged the version: bytes over the link, seconds,
and seconds of processor time of publisher and region agent.

=========  ==============================================================================================
situation  what happens
=========  ==============================================================================================
step       a bf16 model after one Adam step; the region holds the version before
behind     the region was paused for two versions and goes on; their publisher could not see what it holds (no Redis)
blind      as step, by a publisher that could not see what the region holds (no Redis)
first      a bf16 model that the region sees for the first time
blocks     a file that nothing compresses, with a twentieth of it changed, published without deltas
noise      a file that nothing compresses
small      1 KiB, five times (medians)
=========  ==============================================================================================

    python -m tests.bench.ablation --json ablation.json [--rounds 3] [--mib 64] [--markdown docs/ablation.md]
        [--situations behind blind]
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from modelcast.deltas.ablation import DELTAS
from modelcast.infra.ablation import ROAD, VARIABLE
from modelcast.infra.local.servers.kafka import KafkaServer
from modelcast.infra.local.servers.redis import RedisServer
from modelcast.infra.settings import RedisSettings
from modelcast.producers import Commander, Publisher
from modelcast.schemas.states import State
from tests.bench.cpu import cpu_seconds
from tests.bench.figures import conditions, spread
from tests.bench.link import BYTES_PER_SECOND, ROUND_TRIP_SECONDS
from tests.support.network.links_apart import LinksApart
from tests.support.records.pairs import adam_step, bf16, safetensors_bytes, weights
from tests.support.servers.cluster import Cluster
from tests.support.servers.stores import required_binary, start_versitygw
from tests.support.waiting import until

NOTHING = "nothing"
THERE = {State.STAGED, State.LOADING, State.SERVING}
PATIENCE_SECONDS = 180.0
SITUATIONS = ("step", "behind", "blind", "first", "blocks", "noise", "small")
MEASURES = ("bytes", "seconds", "cpu_seconds")
SMALL_TIMES = 5
REST_SECONDS = 0.5
HEARTBEAT_SECONDS = 6.0
WORTH = 0.05
"""What saves less than this of everything measured is not worth its code."""


class Situations:
    """One variant's cluster, and what happens in it."""

    def __init__(self, cluster: Cluster, folder: Path, mib: int) -> None:
        self._cluster, self._folder, self._mib = cluster, folder, mib
        self._publisher = Publisher(cluster.settings)
        blind = cluster.settings.model_copy(update={"redis": RedisSettings(url="redis://127.0.0.1:1/0")})  # type: ignore[arg-type]
        self._blind = Publisher(blind)

    def run(self, seed: int, names: Sequence[str]) -> dict[str, dict[str, float]]:
        """Bytes, seconds and processor seconds, by situation."""
        known: dict[str, Callable[[int], dict[str, float]]] = {
            "step": self._step,
            "behind": self._behind,
            "blind": self._blind_step,
            "first": self._first,
            "blocks": self._blocks,
            "noise": self._noise,
            "small": self._small,
        }
        return {name: known[name](seed) for name in names}

    def close(self) -> None:
        """Let go of the connections."""
        self._publisher.close()
        self._blind.close()

    def _first(self, seed: int) -> dict[str, float]:
        return self._staged(f"first{seed}", {"model.safetensors": self._tensors(seed + 1)}, 1)

    def _noise(self, seed: int) -> dict[str, float]:
        return self._staged(f"noise{seed}", {"weights.bin": os.urandom(self._mib << 20)}, 1)

    def _step(self, seed: int) -> dict[str, float]:
        return self._next(f"step{seed}", seed, self._publisher)

    def _blind_step(self, seed: int) -> dict[str, float]:
        return self._next(f"blind{seed}", seed + 3, self._blind)

    def _next(self, model: str, seed: int, publisher: Publisher) -> dict[str, float]:
        old = weights((self._mib << 20) // 2, seed=seed)
        self._staged(model, {"model.safetensors": tensors(old)}, 1)
        time.sleep(HEARTBEAT_SECONDS)  # publishers learn the link's speed from heartbeats
        new = {"model.safetensors": tensors(adam_step(old, 1e-5, seed=seed + 50))}
        return self._staged(model, new, 2, publisher=publisher)

    def _behind(self, seed: int) -> dict[str, float]:
        one = weights((self._mib << 20) // 2, seed=seed + 7)
        two = adam_step(one, 1e-5, seed=seed + 70)
        three = adam_step(two, 1e-5, seed=seed + 71)
        model = f"behind{seed}"
        self._staged(model, {"model.safetensors": tensors(one)}, 1)
        with Commander(self._cluster.settings) as commander:
            commander.pause(model, regions=["eu"])
            for values in (two, three):
                self._blind.publish(model, self._put(model, {"model.safetensors": tensors(values)}), allow_unknown="*")
            began, carried, spent = time.perf_counter(), self._carried(), self._cpu()
            commander.resume(model, regions=["eu"])
            self._wait(model, 5)
        return {
            "bytes": self._carried() - carried,
            "seconds": time.perf_counter() - began,
            "cpu_seconds": self._cpu() - spent,
        }

    def _blocks(self, seed: int) -> dict[str, float]:
        model, body = f"blocks{seed}", bytearray(os.urandom(self._mib << 20))
        self._staged(model, {"weights.bin": bytes(body)}, 1, deltas=False)
        length = len(body) // 20
        body[len(body) // 3 : len(body) // 3 + length] = os.urandom(length)
        return self._staged(model, {"weights.bin": bytes(body)}, 2, deltas=False)

    def _small(self, seed: int) -> dict[str, float]:
        runs = [self._staged(f"small{seed}", {"w": os.urandom(1024)}, n + 1) for n in range(SMALL_TIMES)]
        return {name: statistics.median(run[name] for run in runs) for name in MEASURES}

    def _tensors(self, seed: int) -> bytes:
        return tensors(weights((self._mib << 20) // 2, seed=seed))

    def _put(self, model: str, files: Mapping[str, bytes]) -> Path:
        folder = self._folder / model
        folder.mkdir(exist_ok=True)
        for name, body in files.items():
            (folder / name).write_bytes(body)
        return folder

    def _staged(
        self,
        model: str,
        files: Mapping[str, bytes],
        generation: int,
        *,
        deltas: bool | None = None,
        publisher: Publisher | None = None,
    ) -> dict[str, float]:
        path = self._put(model, files)
        time.sleep(REST_SECONDS)
        carried, own, theirs = self._carried(), time.process_time(), self._cpu()
        began = time.perf_counter()
        staged_after: list[float] = []
        with self._watching(model, generation, began, staged_after):
            (publisher or self._publisher).publish(model, path, accelerate=deltas, allow_unknown="*")
        return {
            "bytes": self._carried() - carried,
            "seconds": staged_after[0],
            "cpu_seconds": time.process_time() - own + self._cpu() - theirs,
        }

    def _watching(self, model: str, generation: int, began: float, found: list[float]) -> "Watching":
        return Watching(self, model, generation, began, found)

    def _wait(self, model: str, generation: int) -> None:
        worker = self._cluster.regions["eu"].workers[0]

        def is_there() -> bool:
            known = worker.state(model)
            return known is not None and known[0] == generation and known[1] in THERE

        until(is_there, f"the region has staged {model}", PATIENCE_SECONDS)

    def _carried(self) -> int:
        return self._cluster.regions["eu"].origin_link.carried_bytes

    def _cpu(self) -> float:
        return cpu_seconds(self._cluster.regions["eu"].workers[0].pid)


class Watching:
    """Notes when a version is staged, in a thread, while the block publishes it."""

    def __init__(self, of: Situations, model: str, generation: int, began: float, found: list[float]) -> None:
        from threading import Thread

        def watch() -> None:
            of._wait(model, generation)
            found.append(time.perf_counter() - began)

        self._thread = Thread(target=watch)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._thread.join()


def tensors(values: Any) -> bytes:
    """A bf16 safetensors file of sixteen layers."""
    return safetensors_bytes({f"layer{n}": ("BF16", bf16(part)) for n, part in enumerate(np.array_split(values, 16))})


def one_variant(mib: int, seed: int, situations_wanted: Sequence[str]) -> dict[str, dict[str, float]]:
    """All situations with the mechanisms that the environment has turned off."""
    with tempfile.TemporaryDirectory(prefix="ablation-") as place, LinksApart() as links:
        folder = Path(place)
        child, s3 = start_versitygw(required_binary("versitygw", "MODELCAST_VERSITYGW"), folder / "server")
        os.environ.update(s3.env)
        os.environ["MODELCAST_PUBLISH__BASE_CACHE_DIR"] = str(folder / "bases")
        kafka, redis = KafkaServer.start(folder / "kafka"), RedisServer.start(folder / "redis")
        cluster = Cluster(
            folder / "cluster",
            kafka=kafka.bootstrap_servers,
            s3=s3,
            redis_url=redis.url,
            network=links,
            regions={"eu": (0, 1)},
            buckets_linked=False,
        )
        for daemon in cluster.daemons:
            daemon.env[VARIABLE] = os.environ.get(VARIABLE, "")
        link = cluster.regions["eu"].origin_link
        link.bytes_per_second, link.round_trip_seconds = BYTES_PER_SECOND, ROUND_TRIP_SECONDS
        try:
            cluster.start()
            situations = Situations(cluster, folder, mib)
            try:
                situations._staged("warm", {"w": b"warm"}, 1)
                return situations.run(seed, situations_wanted)
            finally:
                situations.close()
        finally:
            cluster.stop()
            redis.stop()
            kafka.stop()
            child.stop()


def run_variant(name: str, mib: int, seed: int, wanted: Sequence[str]) -> dict[str, dict[str, float]]:
    """``one_variant`` in a process of its own."""
    env = {**os.environ, VARIABLE: "" if name == NOTHING else name}
    command = [sys.executable, "-m", "tests.bench.ablation", "--one", "--mib", str(mib), "--seed", str(seed)]
    command += ["--situations", *wanted]
    done = subprocess.run(command, env=env, stdout=subprocess.PIPE, text=True, check=True, timeout=900)
    found: dict[str, dict[str, float]] = json.loads(done.stdout.splitlines()[-1])
    return found


def table(rounds: Mapping[str, list[dict[str, dict[str, float]]]]) -> list[dict[str, Any]]:
    """A row for each mechanism and situation: medians, and what turning it off costs as a share."""
    rows = []
    for name, runs in rounds.items():
        for situation in runs[0]:
            row: dict[str, Any] = {"without": name, "situation": situation}
            for measure in MEASURES:
                values = [run[situation][measure] for run in runs]
                base = statistics.median(run[situation][measure] for run in rounds[NOTHING])
                row[measure] = spread(values)
                row[f"{measure}_cost"] = statistics.median(values) / base - 1 if base else 0.0
            rows.append(row)
    return rows


def markdown(rows: list[dict[str, Any]], rounds: int, mib: int) -> str:
    """The table that stands in ``docs/``: of each mechanism the situations in which it saves the most."""
    lines = [
        "| without | bytes | seconds to staged | CPU seconds |",
        "| --- | --- | --- | --- |",
    ]
    for name in dict.fromkeys(row["without"] for row in rows if row["without"] != NOTHING):
        cells = []
        for measure in MEASURES:
            best = max((r for r in rows if r["without"] == name), key=lambda r: float(r[f"{measure}_cost"]))
            was = next(r for r in rows if r["without"] == NOTHING and r["situation"] == best["situation"])
            scale, unit, digits = (2**20, " MiB", 2) if measure == "bytes" else (1, " s", 2)
            one, other = was[measure]["median"] / scale, best[measure]["median"] / scale
            cost = best[f"{measure}_cost"]
            words = f"{cost:+.0%} ({best['situation']}: {one:.{digits}f} to {other:.{digits}f}{unit})"
            cells.append(words if cost >= WORTH else f"under {WORTH:.0%}")
        lines.append(f"| {name} | {' | '.join(cells)} |")
    head = [
        "# What each accelerator saves",
        "",
        f"`python -m tests.bench.ablation --rounds {rounds} --mib {mib}`: one region behind 100 Mbit/s and 80 ms, one",
        "accelerator off at a time, medians of the rounds. Each cell names the situation in which turning it off costs",
        "the most, with and without it. The situations are described at the head of `tests/bench/ablation.py`.",
        "",
    ]
    return "\n".join([*head, *lines, ""])


def main() -> None:
    """Run every variant in turn, round by round; print the table, write JSON and Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, default=Path("ablation.json"))
    parser.add_argument("--markdown", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--mib", type=int, default=64)
    parser.add_argument("--only", nargs="+", choices=sorted(ROAD.names | DELTAS.names))
    parser.add_argument("--situations", nargs="+", choices=SITUATIONS, default=SITUATIONS)
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--seed", type=int, default=0, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(one_variant(options.mib, options.seed, options.situations)))
        return
    begun = conditions()
    names = [NOTHING, *(options.only or sorted(ROAD.names | DELTAS.names))]
    rounds: dict[str, list[dict[str, dict[str, float]]]] = {name: [] for name in names}
    for number in range(options.rounds):
        for name, runs in rounds.items():
            runs.append(run_variant(name, options.mib, number, options.situations))
            print(f"round {number + 1}, without {name}: {runs[-1]}", file=sys.stderr, flush=True)
    rows = table(rounds)
    words = markdown(rows, options.rounds, options.mib)
    print(words)
    options.json.write_text(json.dumps({"conditions": begun, "rows": rows}, indent=2) + "\n")
    if options.markdown:
        options.markdown.write_text(words)


if __name__ == "__main__":
    main()
