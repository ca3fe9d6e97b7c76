"""What each accelerator saves: everything on, then one of them off at a time, side by side in one run.

One region behind 100 Mbit/s and 80 ms (``network/slow_link.py``), its own bucket near, the stores a versitygw on
real files. Each variant has processes of its own, with the variable of ``modelcast.infra.ablation``, and goes through
the situations in which its mechanism acts (``ACTS_IN``), in every round; with everything on, all of them are gone
through. What is measured of each situation, from the call of ``publish()`` until the region has staged the version:
bytes over the link, seconds, and seconds of processor time of publisher and region agent.

=========  ==============================================================================================
situation  what happens
=========  ==============================================================================================
step       a bf16 model after one Adam step; the region holds the version before
blind      as step, by a publisher that could not see what the region holds (no Redis)
behind     the region was paused for two versions and goes on; their publisher could not see what it holds
first      a bf16 model that the region sees for the first time
blocks     a file that nothing compresses, with a twentieth of it changed, published without deltas
small      1 KiB, five times (medians)
=========  ==============================================================================================

    python -m tests.bench.ablation --json ablation.json [--rounds 5] [--mib 64] [--markdown docs/ablation.md]
        [--only deltas/chain] [--situations behind blind]
    python -m tests.bench.ablation --from bench.json --markdown docs/ablation.md
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np

from modelcast.deltas.ablation import CHAIN, COMPRESSED_WHOLE, DELTA, FORECAST, NUMBA, WAITING
from modelcast.infra.ablation import CHANGED_BLOCKS, OWN_HTTP, PREFETCH, VARIABLE, WRITE_THROUGH
from modelcast.infra.local.servers.kafka import KafkaServer
from modelcast.infra.local.servers.redis import RedisServer
from modelcast.infra.redis_view import RedisView
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
SITUATIONS = ("step", "blind", "behind", "first", "blocks", "small")
MEASURES = ("bytes", "seconds", "cpu_seconds")
ACTS_IN = {
    CHANGED_BLOCKS: ("blocks",),
    OWN_HTTP: ("small",),
    PREFETCH: ("blocks",),
    WRITE_THROUGH: ("first", "blocks"),
    CHAIN: ("behind",),
    COMPRESSED_WHOLE: ("first",),
    DELTA: ("step",),
    FORECAST: ("first",),
    NUMBA: ("behind",),
    WAITING: ("blind",),
}
"""Where turning a mechanism off was seen to cost the most."""
SMALL_TIMES = 5
REST_SECONDS = 0.5
WORTH = 0.05
"""What saves less than this of everything measured is not worth its code."""
NOTES = "How far to believe it"
"""From the line that begins so on, ``--markdown`` leaves a file as it is."""

Found = dict[str, dict[str, float]]
"""What was measured, by situation."""


class Situations:
    """One variant's cluster, and what happens in it. ``mib``: of a model."""

    def __init__(self, cluster: Cluster, folder: Path, mib: int) -> None:
        self._cluster, self._folder, self._mib = cluster, folder, mib
        self._publisher = Publisher(cluster.settings)
        blind = cluster.settings.model_copy(update={"redis": RedisSettings(url="redis://127.0.0.1:1/0")})  # type: ignore[arg-type]
        self._blind = Publisher(blind)
        self._generations: dict[str, int] = {}
        self._weights: Any = None  # of the model that goes on, step by step, from round to round

    def run(self, seed: int, names: Sequence[str]) -> Found:
        """One round."""
        known: dict[str, Callable[[int], dict[str, float]]] = {
            "step": lambda seed: self._staged("steps", self._stepped(seed)),
            "blind": lambda seed: self._staged("steps", self._stepped(seed + 100), publisher=self._blind),
            "behind": self._behind,
            "first": lambda seed: self._staged(f"first{seed}", tensors(self._fresh(seed + 1))),
            "blocks": self._blocks,
            "small": self._small,
        }
        return {name: known[name](seed) for name in names}

    def prepare(self, names: Sequence[str]) -> None:
        """Have what the first publication of a process loads loaded, and a model there that goes on."""
        self._staged("warm", {"w": b"warm"})
        if {"step", "blind", "behind"} & set(names):
            self._weights = self._fresh(seed=0)
            self._staged("steps", tensors(self._weights))
            began = time.monotonic()
            until(lambda: self._speed_is_known(time.monotonic() - began), "publishers know the link's speed")

    def close(self) -> None:
        """Let go of the connections."""
        self._publisher.close()
        self._blind.close()

    def _stepped(self, seed: int) -> dict[str, bytes]:
        self._weights = adam_step(self._weights, 1e-5, seed=seed + 50)
        return tensors(self._weights)

    def _behind(self, seed: int) -> dict[str, float]:
        with Commander(self._cluster.settings) as commander:
            commander.pause("steps", regions=["eu"])
            for more in (200, 300):
                self._blind.publish("steps", self._put("steps", self._stepped(seed + more)), allow_unknown="*")
            began, carried, spent = time.perf_counter(), self._carried(), self._cpu()
            commander.resume("steps", regions=["eu"])
            self._wait("steps", self._after("steps", entries=4))
        return {
            "bytes": self._carried() - carried,
            "seconds": time.perf_counter() - began,
            "cpu_seconds": self._cpu() - spent,
        }

    def _blocks(self, seed: int) -> dict[str, float]:
        model, body = f"blocks{seed}", bytearray(os.urandom(self._mib << 20))
        self._staged(model, {"weights.bin": body}, deltas=False)
        length = len(body) // 20
        body[len(body) // 3 : len(body) // 3 + length] = os.urandom(length)
        return self._staged(model, {"weights.bin": body}, deltas=False)

    def _small(self, seed: int) -> dict[str, float]:
        runs = [self._staged(f"small{seed}", {"w": os.urandom(1024)}) for _ in range(SMALL_TIMES)]
        return {name: statistics.median(run[name] for run in runs) for name in MEASURES}

    def _fresh(self, seed: int) -> Any:
        return weights((self._mib << 20) // 2, seed=seed)

    def _put(self, model: str, files: Mapping[str, bytes | bytearray]) -> Path:
        folder = self._folder / model
        folder.mkdir(exist_ok=True)
        for name, body in files.items():
            (folder / name).write_bytes(body)
        return folder

    def _after(self, model: str, entries: int) -> int:
        """The generation of a model once its log has so many more entries."""
        self._generations[model] = self._generations.get(model, 0) + entries
        return self._generations[model]

    def _staged(
        self,
        model: str,
        files: Mapping[str, bytes | bytearray],
        *,
        deltas: bool | None = None,
        publisher: Publisher | None = None,
    ) -> dict[str, float]:
        path, generation = self._put(model, files), self._after(model, entries=1)
        time.sleep(REST_SECONDS)
        carried, own, theirs = self._carried(), time.process_time(), self._cpu()
        with self._timed(model, generation) as staged_after:
            (publisher or self._publisher).publish(model, path, accelerate=deltas, allow_unknown="*")
        return {
            "bytes": self._carried() - carried,
            "seconds": staged_after[0],
            "cpu_seconds": time.process_time() - own + self._cpu() - theirs,
        }

    @contextmanager
    def _timed(self, model: str, generation: int) -> Iterator[list[float]]:
        """Note how long it takes from now until a version is staged, while the block publishes it."""
        staged_after: list[float] = []
        began = time.perf_counter()

        def watch() -> None:
            self._wait(model, generation)
            staged_after.append(time.perf_counter() - began)

        watching = Thread(target=watch)
        watching.start()
        yield staged_after
        watching.join()

    def _wait(self, model: str, generation: int) -> None:
        worker = self._cluster.regions["eu"].workers[0]

        def is_there() -> bool:
            known = worker.state(model)
            return known is not None and known[0] == generation and known[1] in THERE

        until(is_there, f"the region has staged {model}", PATIENCE_SECONDS)

    def _speed_is_known(self, waited_seconds: float) -> bool:
        """Whether a heartbeat that was sent since then tells publishers how fast the link is."""
        with RedisView(self._cluster.settings) as view:
            beats = view.heartbeats()
        return any(beat.age_seconds < waited_seconds and beat.value.origin_bytes_per_second > 0 for beat in beats)

    def _carried(self) -> int:
        return self._cluster.regions["eu"].origin_link.carried_bytes

    def _cpu(self) -> float:
        return cpu_seconds(self._cluster.regions["eu"].workers[0].pid)


def tensors(values: Any) -> dict[str, bytes]:
    """A model of one bf16 safetensors file of sixteen layers."""
    layers = {f"layer{n}": ("BF16", bf16(part)) for n, part in enumerate(np.array_split(values, 16))}
    return {"model.safetensors": safetensors_bytes(layers)}


def one_variant(mib: int, rounds: int, wanted: Sequence[str]) -> list[Found]:
    """All rounds with the mechanisms that the environment has turned off."""
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
                situations.prepare(wanted)
                return [situations.run(number, wanted) for number in range(rounds)]
            finally:
                situations.close()
        finally:
            cluster.stop()
            redis.stop()
            kafka.stop()
            child.stop()


def run_variant(name: str, mib: int, rounds: int, wanted: Sequence[str]) -> list[Found]:
    """``one_variant`` in a process of its own."""
    env = {**os.environ, VARIABLE: "" if name == NOTHING else name}
    command = [sys.executable, "-m", "tests.bench.ablation", "--one", "--mib", str(mib), "--rounds", str(rounds)]
    command += ["--situations", *wanted]
    done = subprocess.run(command, env=env, stdout=subprocess.PIPE, text=True, check=True, timeout=300 * rounds)
    found: list[Found] = json.loads(done.stdout.splitlines()[-1])
    return found


def table(rounds: Mapping[str, list[Found]]) -> list[dict[str, Any]]:
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


def markdown(figures: Mapping[str, Any]) -> str:
    """The table that stands in ``docs/``: of each mechanism the situations in which it saves the most."""
    rows, ran = figures["rows"], figures["conditions"]
    lines = [
        "# What each accelerator saves",
        "",
        f"`make bench ablation`: {figures['rounds']} rounds of models of {figures['mib']} MiB on {ran['cores']} cores,",
        f"{ran['date'][:10]}. One region behind 100 Mbit/s and 80 ms, one accelerator off at a time, medians.",
        "Each cell names the situation in which turning it off costs the most, with and without it.",
        "`tests/bench/ablation.py` describes the situations.",
        "",
        "| without | bytes | seconds to staged | CPU seconds |",
        "| --- | --- | --- | --- |",
    ]
    for name in dict.fromkeys(row["without"] for row in rows if row["without"] != NOTHING):
        cells = [_cell(rows, name, measure) for measure in MEASURES]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def _cell(rows: Sequence[Mapping[str, Any]], name: str, measure: str) -> str:
    best = max((row for row in rows if row["without"] == name), key=lambda row: float(row[f"{measure}_cost"]))
    if best[f"{measure}_cost"] < WORTH:
        return f"under {WORTH:.0%}"
    was = next(row for row in rows if row["without"] == NOTHING and row["situation"] == best["situation"])
    scale, unit = (2**20, "MiB") if measure == "bytes" else (1, "s")
    one, other = (row[measure]["median"] / scale for row in (was, best))
    return f"{best[f'{measure}_cost']:+.0%} ({best['situation']}: {one:.2f} to {other:.2f} {unit})"


def with_notes(text: str, place: Path) -> str:
    """``text``, and the notes that people have written below the table that stands there now."""
    old = place.read_text() if place.exists() else ""
    _, heading, notes = old.partition(f"\n{NOTES}")
    return text + heading + notes


def main() -> None:
    """Run every variant in turn; print the table, write JSON and Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, default=Path("ablation.json"))
    parser.add_argument("--markdown", type=Path)
    parser.add_argument("--from", dest="known", type=Path, help="figures of an earlier run; nothing is run")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--mib", type=int, default=64)
    parser.add_argument("--only", nargs="+", choices=sorted(ACTS_IN))
    parser.add_argument("--situations", nargs="+", choices=SITUATIONS, help="these, for every mechanism")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(one_variant(options.mib, options.rounds, options.situations)))
        return
    if options.known:
        found = json.loads(options.known.read_text())
        figures = found.get("ablation", found)
    else:
        figures = {"conditions": conditions(), "rounds": options.rounds, "mib": options.mib}
        wanted = {name: options.situations or ACTS_IN[name] for name in options.only or sorted(ACTS_IN)}
        every = [each for each in SITUATIONS if any(each in situations for situations in wanted.values())]
        rounds: dict[str, list[Found]] = {}
        for name, situations in {NOTHING: every, **wanted}.items():
            rounds[name] = run_variant(name, options.mib, options.rounds, situations)
            print(f"without {name}: {rounds[name]}", file=sys.stderr, flush=True)
        figures["rows"] = table(rounds)
        options.json.write_text(json.dumps(figures, indent=2) + "\n")
    words = markdown(figures)
    print(words)
    if options.markdown:
        options.markdown.write_text(with_notes(words, options.markdown))


if __name__ == "__main__":
    main()
