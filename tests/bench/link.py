"""How soon a version is staged in a region behind a long link: seconds, as a ratio to bytes of the best plan / rate.

A real region agent on a Kafka and a versitygw of its own; between it and the origin lies a link of 100 Mbit/s, shared
by all its connections, with 80 ms of round trip (``network/slow_link.py``: a proxy that paces and delays; usual
proxies limit each connection by itself). The proxy has a process of its own. TCP's own windows are those of the
loopback. The region's own bucket is near. Each round has fresh models: ``whole`` is noise that nothing compresses;
``delta`` is a step away from a version that the region holds. ``claim→staged`` starts when the entry stands in the log,
``call→staged`` when ``publish()`` is called; ``of_best_plan`` and ``from_call_of_best_plan`` are their ratios, and the
aim is named with both.

    python -m tests.bench.link --json link.json [--rounds 5] [--mib 64]
"""

import argparse
import json
import os
import statistics
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

from modelcast.infra.local.servers.kafka import KafkaServer
from modelcast.infra.local.servers.redis import RedisServer
from modelcast.infra.stores.configured import origin_store
from modelcast.producers import Publisher
from modelcast.schemas import keys
from modelcast.schemas.ports import ObjectStore
from modelcast.schemas.states import State
from tests.bench.figures import conditions, promise, spread
from tests.support.network.links_apart import LinksApart
from tests.support.records.pairs import adam_step, safetensors_bytes, weights
from tests.support.servers.cluster import Cluster
from tests.support.servers.stores import required_binary, start_versitygw
from tests.support.waiting import until

BYTES_PER_SECOND = 100e6 / 8
ROUND_TRIP_SECONDS = 0.080
THERE = {State.STAGED, State.LOADING, State.SERVING}
PATIENCE_SECONDS = 300.0
RATIOS = ("of_best_plan", "from_call_of_best_plan")
AIM = 1.15


class Claimed:
    """Notes when a log's next entry is there."""

    def __init__(self, origin: ObjectStore, model: str, generation: int) -> None:
        self._thread = threading.Thread(target=self._watch, args=(origin, keys.log_entry(model, generation)))
        self._thread.start()
        self._at = 0.0

    def _watch(self, origin: ObjectStore, key: str) -> None:
        while origin.head(key) is None:
            time.sleep(0.005)
        self._at = time.perf_counter()

    def at(self) -> float:
        """When, by ``perf_counter``."""
        self._thread.join()
        return self._at


def staged(cluster: Cluster, publisher: Publisher, model: str, folder: Path, generation: int) -> dict[str, float]:
    """Publish ``folder`` and wait for the region."""
    region = cluster.regions["eu"]
    carried = region.origin_link.carried_bytes
    claimed = Claimed(origin_store(cluster.settings), model, generation)
    done: list[float] = []

    def watch() -> None:
        def is_there() -> bool:
            said = region.workers[0].state(model)
            return said is not None and said[0] == generation and said[1] in THERE

        until(is_there, "the region has staged it", PATIENCE_SECONDS)
        done.append(time.perf_counter())

    watching = threading.Thread(target=watch)
    watching.start()
    called = time.perf_counter()
    publication = publisher.publish(model, folder, allow_unknown="*")
    watching.join()
    assert publication.generation == generation
    return {
        **{f"stage_{name}_seconds": seconds for name, seconds in stages(cluster, model, generation).items()},
        "from_call_seconds": done[0] - called,
        "from_claim_seconds": done[0] - claimed.at(),
        "size_bytes": publication.size_bytes,
        "carried_bytes": region.origin_link.carried_bytes - carried,
        "delta_bytes": min(
            (
                info.size_bytes
                for info in origin_store(cluster.settings).list(keys.delta_prefix(publication.manifest_digest))
            ),
            default=0,
        ),
    }


def stages(cluster: Cluster, model: str, generation: int) -> dict[str, float]:
    """What the region says of where its fetch's seconds went; some of them go beside others."""
    found: dict[str, float] = {}

    def is_told() -> bool:
        said = cluster.said(model)
        rows = [row for row in said.regions if row.staged_generation == generation] if said else []
        found.update(
            {name: seconds for row in rows for name, seconds in ((s.stage, s.busy_ms / 1000) for s in row.spans)}
        )
        return bool(found)

    until(is_told, "the live view tells of it", PATIENCE_SECONDS)
    return found


def rounds(cluster: Cluster, count: int, mib: int, folder: Path) -> dict[str, list[dict[str, float]]]:
    """All measurements."""
    link = cluster.regions["eu"].origin_link
    found: dict[str, list[dict[str, float]]] = {"whole": [], "delta": []}
    link.bytes_per_second, link.round_trip_seconds = BYTES_PER_SECOND, ROUND_TRIP_SECONDS
    with Publisher(cluster.settings) as publisher:
        warm = folder / "warm"
        warm.mkdir()
        (warm / "w").write_bytes(b"warm")
        staged(cluster, publisher, "warm", warm, 1)
        for number in range(count):
            whole = folder / f"whole{number}"
            whole.mkdir()
            (whole / "weights.bin").write_bytes(os.urandom(mib << 20))
            found["whole"].append(staged(cluster, publisher, f"whole{number}", whole, 1))
            old = weights((mib << 20) // 4, seed=number)
            stepping = folder / f"stepping{number}"
            stepping.mkdir()
            file = stepping / "model.safetensors"
            file.write_bytes(tensors(old))
            staged(cluster, publisher, f"stepping{number}", stepping, 1)
            file.write_bytes(tensors(adam_step(old, 1e-5, seed=number + 100)))
            found["delta"].append(staged(cluster, publisher, f"stepping{number}", stepping, 2))
    for case, runs in found.items():
        for run in runs:
            best = run["size_bytes"] if case == "whole" else run["delta_bytes"] or run["size_bytes"]
            run["best_plan_seconds"] = best / BYTES_PER_SECOND
            run["of_best_plan"] = run["from_claim_seconds"] / run["best_plan_seconds"]
            run["from_call_of_best_plan"] = run["from_call_seconds"] / run["best_plan_seconds"]
    return found


def tensors(values: Any) -> bytes:
    """A safetensors file of sixteen layers."""
    return safetensors_bytes({f"layer{n}": ("F32", part) for n, part in enumerate(np.array_split(values, 16))})


def summary(runs: list[dict[str, float]]) -> dict[str, Any]:
    """Medians over one case's runs; of its ratios also minimum and maximum, and whether the median meets the aim."""
    medians = {name: statistics.median(run.get(name, 0.0) for run in runs) for name in sorted(set().union(*runs))}
    ratios = {name: spread([run[name] for run in runs]) for name in RATIOS}
    return medians | {name: {**found, "aim": AIM, "met": found["median"] <= AIM} for name, found in ratios.items()}


def show(case: str, figures: dict[str, Any]) -> None:
    """A line of the table."""
    seconds = [figures[name] for name in ("best_plan_seconds", "from_claim_seconds", "from_call_seconds")]
    claim, call = (
        f"{figures[n]['median']:.2f} ({figures[n]['min']:.2f}, {figures[n]['max']:.2f})"
        f" {'met' if figures[n]['met'] else 'missed'}"
        for n in RATIOS
    )
    carried = figures["carried_bytes"] / 2**20
    print(
        f"{case:8} {seconds[0]:9.2f}s {seconds[1]:12.2f}s {seconds[2]:12.2f}s  {claim:>26}  {call:>26} {carried:12.1f}"
    )


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, default=Path("link.json"))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--mib", type=int, default=64)
    options = parser.parse_args()
    begun = conditions()
    with tempfile.TemporaryDirectory() as place, LinksApart() as links:
        folder = Path(place)
        child, s3 = start_versitygw(required_binary("versitygw", "MODELCAST_VERSITYGW"), folder / "server")
        os.environ.update(s3.env)
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
        try:
            cluster.start()
            found = rounds(cluster, options.rounds, options.mib, folder)
        finally:
            cluster.stop()
            redis.stop()
            kafka.stop()
            child.stop()
    figures: dict[str, Any] = {
        "conditions": begun,
        "bytes_per_second": BYTES_PER_SECOND,
        "round_trip_seconds": ROUND_TRIP_SECONDS,
    }
    seconds_of = f"{'best plan':>10} {'claim→staged':>13} {'call→staged':>13}"
    print(f"{'':8} {seconds_of}  {'claim: ratio (min, max)':>26}  {'call: ratio (min, max)':>26} {'MiB carried':>12}")
    for case, runs in found.items():
        figures[case] = {"runs": runs, **summary(runs)}
        show(case, figures[case])
    figures["promises"] = {
        f"{case}, {name}: at most {AIM:g}": promise(figures[case][name]["median"], AIM)
        for case in found
        for name in RATIOS
    }
    print(f"aim: ratio <= {AIM}; the call, unlike the claim, also reads, hashes, uploads, and makes deltas")
    options.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
