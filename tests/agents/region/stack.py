"""A region for tests: real Kafka and S3, pods and agents as processes of their own."""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from modelcast.infra.local.ports import free_ports
from modelcast.infra.settings import Settings
from modelcast.infra.stores.configured import origin_store, region_store
from modelcast.schemas import keys
from modelcast.schemas.codec import decode
from modelcast.schemas.digests import sha256_of
from modelcast.schemas.ports import ObjectStore
from modelcast.schemas.records import DeadLetter, ModelAck, RegionHeartbeat
from modelcast.schemas.region_memory import MEMORY_SIZE_MAX, Memory
from modelcast.schemas.states import PodState, State
from modelcast.schemas.topics import Topic
from tests.consumers.pod.models import adder
from tests.support.any_format import ANY_FORMAT
from tests.support.processes.daemon import Daemon
from tests.support.servers.stores import S3ForTests
from tests.support.waiting import until

TOKEN = "token-of-the-region"


@dataclass
class Stack:
    """Origin, regions with a bucket, two pods and a cache each; agents are started by the tests."""

    root: Path
    kafka: str
    s3: S3ForTests
    regions: tuple[str, ...] = ("eu",)
    pods_per_region: int = 2
    extra: dict[str, str] = field(default_factory=dict)
    processes: list[Daemon] = field(default_factory=list)
    pods: dict[str, list[Daemon]] = field(default_factory=dict)
    _buckets: dict[str, ObjectStore] = field(default_factory=dict)

    def __post_init__(self) -> None:
        endpoint = self.s3.endpoint_url
        self.env = {
            **{k: v for k, v in os.environ.items() if not k.startswith("MODELCAST_")},
            **self.s3.env,
            "MODELCAST_KAFKA__BOOTSTRAP_SERVERS": self.kafka,
            "MODELCAST_STORES__ORIGIN__URL": f"s3://{self.s3.bucket()}/origin",
            "MODELCAST_STORES__ORIGIN__ENDPOINT_URL": endpoint,
            "MODELCAST_LOG__FORMAT": "json",
            **ANY_FORMAT,
            "MODELCAST_DAEMON__DATA_DIR": str(self.root / "data"),
            **self.extra,
        }
        for region in self.regions:
            prefix = f"MODELCAST_REGIONS__{region.upper()}__"
            self.env |= {
                f"{prefix}STORE__URL": f"s3://{self.s3.bucket()}/{region}",
                f"{prefix}STORE__ENDPOINT_URL": endpoint,
                f"{prefix}TOKEN": TOKEN,
                f"{prefix}CACHE_DIR": str(self.root / region / "cache"),
            }
        for region in self.regions:
            self.pods[region] = [self._pod(region, n) for n in range(self.pods_per_region)]
            ports = [(self.root / region / f"pod-{n}.port") for n in range(self.pods_per_region)]
            until(lambda files=ports: all(p.exists() and p.read_text() for p in files), "pods are bound")
            urls = [f"http://127.0.0.1:{p.read_text().strip()}" for p in ports]
            self.env[f"MODELCAST_REGIONS__{region.upper()}__PODS"] = json.dumps(urls)

    def _pod(self, region: str, number: int) -> Daemon:
        home = self.root / region
        home.mkdir(parents=True, exist_ok=True)
        command = [
            *("-m", "modelcast.cli.main", "run", "pod", "--name", f"{region}-{number}"),
            *("--region", region, "--port-file", str(home / f"pod-{number}.port")),
            *("--state-dir", str(home / f"pod-{number}-state")),
        ]
        self.processes.append(Daemon(f"pod-{region}-{number}", command, self.env, home).start())
        return self.processes[-1]

    @property
    def settings(self) -> Settings:
        """The same settings in this process (its environment is the stack's)."""
        return Settings()

    def use(self, monkeypatch: object) -> None:
        """Put the stack's settings into this process' environment."""
        for name, value in self.env.items():
            if name.startswith(("MODELCAST_", "AWS_")):
                monkeypatch.setenv(name, value)  # type: ignore[attr-defined]

    def agent(self, region: str = "eu", worker: str = "a", **env: str) -> Daemon:
        """Start a region agent."""
        own = {"MODELCAST_DAEMON__WORKER": worker, "MODELCAST_DAEMON__PORT": str(free_ports(1)[0])}
        command = ["-m", "modelcast.agents.region", "--region", region]
        process = Daemon(f"agent-{region}-{worker}", command, self.env | own | env, self.root)
        self.processes.append(process.start())
        return process

    def model(self, number: float) -> Path:
        """A folder with a small real model that adds ``number``."""
        folder = self.root / f"model-{number}"
        folder.mkdir(exist_ok=True)
        for path, data in adder(number).files.items():
            (folder / path).write_bytes(data)
        return folder

    def memory(self, model: str, region: str = "eu") -> Memory | None:
        """What the region's bucket says of a model."""
        if region not in self._buckets:
            self._buckets[region] = region_store(self.settings, region)
        found = self._buckets[region].get(keys.region_state(model), size_max=MEMORY_SIZE_MAX)
        return Memory.decode(found.body) if found else None

    def put_blobs(self, folder: Path, *, damaged: bool = False) -> None:
        """Lay a folder's files into the origin; ``damaged``: with one bit of each turned over."""
        store = origin_store(self.settings)
        for file in folder.iterdir():
            data = bytearray(file.read_bytes())
            key = keys.blob(sha256_of(data))
            data[len(data) // 2] ^= int(damaged)
            store.put(key, bytes(data))

    def stop(self) -> None:
        """End every process."""
        for process in reversed(self.processes):
            process.stop()


class Topics:
    """Everything that was said on some topics, read as it comes."""

    def __init__(self, settings: Settings) -> None:
        from confluent_kafka import TopicPartition

        from modelcast.infra.kafka.client import make_consumer

        self._consumer = make_consumer(settings)
        wanted = []
        for topic in (Topic.MODEL_ACKS, Topic.REGION_HEARTBEATS, Topic.DEAD_LETTERS):
            for partition in self._consumer.list_topics(topic, timeout=10).topics[topic].partitions:
                _, high = self._consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=10)
                wanted.append(TopicPartition(topic, partition, high))
        self._consumer.assign(wanted)
        self.acks: list[ModelAck] = []
        self.heartbeats: list[RegionHeartbeat] = []
        self.letters: list[DeadLetter] = []

    def poll(self) -> "Topics":
        """Take in what has arrived."""
        wait_seconds = 0.01
        while (message := self._consumer.poll(wait_seconds)) is not None:
            wait_seconds = 0
            if message.error() is not None:
                continue
            record = decode(message.value() or b"")
            for kind, into in (
                (ModelAck, self.acks),
                (RegionHeartbeat, self.heartbeats),
                (DeadLetter, self.letters),
            ):
                if isinstance(record, kind):
                    into.append(record)  # type: ignore[attr-defined]
        return self

    def latest(self, model: str, region: str = "eu") -> ModelAck | None:
        """The newest snapshot of a model."""
        found = [a for a in self.poll().acks if (a.model, a.region) == (model, region)]
        return max(found, key=lambda a: (a.epoch, a.sequence), default=None)

    def serving(self, model: str, version: int, *, region: str = "eu", pods: int = 2) -> bool:
        """Whether the newest snapshot says that all pods serve the version, read back."""
        ack = self.latest(model, region)
        return (
            ack is not None
            and ack.state is State.SERVING
            and [(p.state, p.version) for p in ack.pods] == [(PodState.SERVING, version)] * pods
        )

    def close(self) -> None:
        self._consumer.close()


def states(topics: Topics, model: str) -> Iterator[tuple[int, State]]:
    """(generation, state) of a model's snapshots, in their order, repeats left out."""
    last = None
    for ack in sorted((a for a in topics.acks if a.model == model), key=lambda a: (a.epoch, a.sequence)):
        if (ack.generation, ack.state) != last:
            last = (ack.generation, ack.state)
            yield last
