"""``publish()`` until three regions serve, as a ratio to what one would write in an afternoon, in turn in one run.

The afternoon's script: boto3 ``upload_file``, a confluent-kafka produce; three consumers, each a process, that
``download_file``, hash, call the same pod's load and acknowledge (``afternoon_consumer.py``). It promises nothing that
Modelcast does: no log, no resume, no fence, no read-back. Both drive two pods of our own in each region; the store is
a versitygw on real files. Ours ends when ``version-state`` on Kafka names the version consistent, the script's when
its third acknowledgement has been read. Each size is published ``--publications`` times a round, in turn.

    python -m tests.bench.afternoon --json afternoon.json [--rounds 5] [--publications 5] [--mib 32]
"""

import argparse
import hashlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from confluent_kafka import TopicPartition
from confluent_kafka.admin import NewTopic
from onnx import TensorProto, helper, numpy_helper

from modelcast.infra.kafka.client import make_admin, make_producer
from modelcast.infra.local.layout import PODS_PER_REGION, REGIONS
from modelcast.infra.local.servers.s3 import client_for
from modelcast.infra.settings import Settings, load_settings
from modelcast.producers.publish.publisher import Publisher
from tests.bench.afternoon_consumer import ACKS, BUCKET, NEWS
from tests.bench.figures import conditions, promise, spread
from tests.bench.road import MODEL, SETTLE_SECONDS, Listener, listening, small_model, stack_on_real_files
from tests.consumers.pod.models import REGISTRY, Artifact
from tests.consumers.pod.pod_process import TOKEN, PodProcess

AIM = 1.5
WARM_UP = 2


def large_model(number: int, mib: int) -> bytes:
    """An ONNX model with ``mib`` MiB of weights that nothing compresses."""
    weights = np.random.default_rng(number).standard_normal((mib << 20) // 4, dtype="f4")
    graph = helper.make_graph(
        [helper.make_node("Gather", ["w", "i"], ["y"])],
        "table",
        [helper.make_tensor_value_info("i", TensorProto.INT64, [1])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])],
        [numpy_helper.from_array(weights, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


class Afternoon:
    """The script's half of a training job."""

    def __init__(self, settings: Settings, endpoint: str) -> None:
        self._store = client_for(endpoint)
        self._producer = make_producer(settings)
        self._acks = listening(settings)
        self._version = 0

    def listen(self) -> None:
        """Read the acknowledgements from here on."""
        self._acks.assign([TopicPartition(ACKS, 0, 0)])

    def publish(self, path: Path) -> float:
        """Upload, announce and wait until all regions have acknowledged; the seconds that it took."""
        self._version += 1
        body = path.read_bytes()
        artifact = Artifact({"model.onnx": body})  # the pod insists on a manifest; made before the clock starts
        began = time.perf_counter()
        key = f"{self._version}/model.onnx"
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        self._store.upload_file(str(path), BUCKET, key)
        news = {
            "version": self._version,
            "key": key,
            "sha256": digest,
            "hex": artifact.digest.removeprefix("sha256:"),
            "manifest": artifact.manifest.encode().decode(),
            "order": {
                "model": "afternoon",
                "modelcast_version": self._version,
                "modelcast_digest": artifact.digest,
                "modelcast_generation": self._version,
                "modelcast_epoch": 1,
                "modelcast_registry": REGISTRY,
            },
        }
        self._producer.produce(NEWS, value=json.dumps(news))
        self._producer.flush(10)
        missing = set(REGIONS)
        while missing:
            if time.perf_counter() - began > 120:
                raise SystemExit(f"the script's regions {sorted(missing)} did not acknowledge")
            message = self._acks.poll(0.05)
            if message is None or message.error() is not None:
                continue
            if json.loads(message.value() or b"")["version"] == self._version:
                missing.discard((message.key() or b"").decode())
        return time.perf_counter() - began


@contextmanager
def scripted_regions(folder: Path, settings: Settings, endpoint: str) -> Iterator[None]:
    """Three consumers and their pods, on the stack's Kafka and store."""
    admin = make_admin(settings)
    for future in admin.create_topics([NewTopic(topic, 1, 1) for topic in (NEWS, ACKS)]).values():
        future.result(10)
    client_for(endpoint).create_bucket(Bucket=BUCKET)
    with ExitStack() as stack:
        for region in REGIONS:
            cache = folder / region / "cache"
            urls = []
            for number in range(PODS_PER_REGION):
                home = folder / region / str(number)
                home.mkdir(parents=True)
                pod = PodProcess(home, cache=cache)
                stack.callback(pod.stop)
                urls.append(pod.start().url)
            told = {
                "bootstrap": settings.kafka.bootstrap_servers,
                "endpoint": endpoint,
                "group": region,
                "cache": str(cache),
                "pods": urls,
            }
            child = subprocess.Popen(
                [sys.executable, "-m", "tests.bench.afternoon_consumer", json.dumps(told)],
                env={**os.environ, "AFTERNOON_TOKEN": TOKEN},
            )
            stack.callback(child.wait)
            stack.callback(child.kill)
        yield


def ours(publisher: Publisher, listener: Listener, path: Path) -> float:
    """Seconds from the call of ``publish()`` to the state that names the version consistent."""
    began = time.perf_counter()
    version = publisher.publish(MODEL, path).version
    return listener.first(lambda state: state.consistent_version == version) - began


def one_round(publications: int, mib: int) -> dict[str, dict[str, float]]:
    """A fresh stack; medians by size and kind."""
    found: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory(prefix="afternoon-bench-") as name, stack_on_real_files(Path(name)) as (env, _):
        os.environ.update(env)
        settings = load_settings()
        endpoint = env["MODELCAST_STORES__ORIGIN__ENDPOINT_URL"]
        listener, script = Listener(settings), Afternoon(settings, endpoint)
        with scripted_regions(Path(name) / "script", settings, endpoint), Publisher(settings) as publisher:
            script.listen()
            path, number = Path(name) / "model.onnx", 0
            for size in ("1 KiB", f"{mib} MiB"):
                seconds: dict[str, list[float]] = {"ours": [], "script": []}
                for turn in range(WARM_UP + publications):
                    for kind, values in seconds.items():
                        number += 1
                        path.write_bytes(small_model(number) if size == "1 KiB" else large_model(number, mib))
                        took = ours(publisher, listener, path) if kind == "ours" else script.publish(path)
                        if turn >= WARM_UP:
                            values.append(took)
                        time.sleep(SETTLE_SECONDS)
                found[size] = {kind: statistics.median(each) for kind, each in seconds.items()}
                found[size]["ratio"] = found[size]["ours"] / found[size]["script"]
    return found


def promised(size: str) -> str:
    """What is promised of publications of a size."""
    return f"{size}: publish() to serving at most {AIM:g} times what the script takes"


def summary(rounds: Sequence[Mapping[str, Mapping[str, float]]]) -> dict[str, Any]:
    """By size seconds and their ratio over all rounds, and the promises."""
    rows = {
        size: {kind: spread([each[size][kind] for each in rounds]) for kind in rounds[0][size]} for size in rounds[0]
    }
    return rows | {"promises": {promised(size): promise(row["ratio"]["median"], AIM) for size, row in rows.items()}}


def main() -> None:
    """Run the rounds, print a table, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="where to write the figures")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--publications", type=int, default=5, help="of either kind and size, a round")
    parser.add_argument("--mib", type=int, default=32)
    options = parser.parse_args()
    begun, rounds = conditions(), []
    for number in range(options.rounds):
        rounds.append(one_round(options.publications, options.mib))
        print(f"round {number + 1}: {rounds[-1]}", file=sys.stderr, flush=True)
    found: dict[str, Any] = {"conditions": begun, **summary(rounds)}
    for size in rounds[0]:
        words = "  ".join(f"{k} {v['median']:.3f} ({v['min']:.3f} to {v['max']:.3f})" for k, v in found[size].items())
        print(f"{size:>8}: {words}  {'met' if found['promises'][promised(size)]['held'] else 'missed'}")
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
