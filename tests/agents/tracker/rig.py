"""A tracker as a process of its own, on a real Kafka, an S3 server and a Redis."""

import contextlib
import json
import os
import threading
import time
import uuid
from collections.abc import Iterable
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path

from confluent_kafka import KafkaError, KafkaException, Producer

from modelcast.infra.kafka.admin import create_topics
from modelcast.infra.kafka.client import make_producer
from modelcast.infra.local.ports import free_ports
from modelcast.infra.redis_view import RedisView
from modelcast.infra.settings import Settings
from modelcast.infra.stores import open_store
from modelcast.schemas import keys
from modelcast.schemas.ack_headers import AckHeaders
from modelcast.schemas.codec import DEFAULT, decode, decode_as, encode
from modelcast.schemas.errors import DecodeError
from modelcast.schemas.log.fold import ModelLog
from modelcast.schemas.log.registry_id import encode_registry_id
from modelcast.schemas.log.statements import read_stated
from modelcast.schemas.ports import ObjectStore
from modelcast.schemas.records import (
    DeadLetter,
    Entry,
    ModelAck,
    RegionHeartbeat,
    VersionState,
)
from modelcast.schemas.topics import Topic, partition_of
from modelcast.schemas.unchanged import StatesUnchanged, renewed
from tests.support.processes.daemon import Daemon
from tests.support.records.folding import apply_all, stated
from tests.support.servers.stores import S3ForTests
from tests.support.servers.topic_reader import TopicReader

REGIONS = ("ap", "eu", "us")
BEAT_SECONDS = 2.0


@dataclass
class Rig:
    """Servers, a registry of its own, and helpers to speak as publishers and regions do."""

    bootstrap_servers: str
    s3: S3ForTests
    redis_url: str
    folder: Path
    registry_id: str = field(default_factory=lambda: uuid.uuid4().hex)
    regions: tuple[str, ...] = REGIONS
    trackers: list[Daemon] = field(default_factory=list)
    logs: dict[str, ModelLog] = field(default_factory=dict)  # as they were claimed
    beats: int = 0
    alive: tuple[str, ...] = REGIONS  # their heartbeats come by themselves while a tracker runs

    def __post_init__(self) -> None:
        self.bucket = self.s3.bucket("origin")
        self.store: ObjectStore = open_store(
            f"s3://{self.bucket}",
            endpoint_url=self.s3.endpoint_url,
            access_key_id=self.s3.access_key_id,
            secret_access_key=self.s3.secret_access_key,
        )
        self.store.put(keys.REGISTRY_ID, encode_registry_id(self.registry_id))
        self.settings = Settings(
            kafka={"bootstrap_servers": self.bootstrap_servers},  # type: ignore[arg-type]
            redis={"url": self.redis_url},  # type: ignore[arg-type]
        )
        create_topics(self.settings)
        self.producer: Producer = make_producer(self.settings)
        self._over = threading.Event()
        self._beating = threading.Thread(target=self._beat_on, daemon=True)
        self.reader = TopicReader(self.settings)

    # --- the tracker --------------------------------------------------------------------------------------

    def start(self, **variables: str) -> Daemon:
        (port,) = free_ports(1)
        env = {
            **os.environ,
            **self.s3.env,
            "MODELCAST_KAFKA__BOOTSTRAP_SERVERS": self.bootstrap_servers,
            "MODELCAST_REDIS__URL": self.redis_url,
            "MODELCAST_STORES__ORIGIN__URL": f"s3://{self.bucket}",
            "MODELCAST_STORES__ORIGIN__ENDPOINT_URL": self.s3.endpoint_url,
            "MODELCAST_REGIONS": json.dumps({region: {} for region in self.regions}),
            "MODELCAST_TRACKER__ANNOUNCE_SECONDS": "2",
            "MODELCAST_TRACKER__REFRESH_SECONDS": "4",
            "MODELCAST_DAEMON__PORT": str(port),
            "MODELCAST_DAEMON__DATA_DIR": str(self.folder / "data"),
            "MODELCAST_LOG__LEVEL": "info",
            **variables,
        }
        name = f"tracker-{len(self.trackers)}"
        self.trackers.append(Daemon(name, ["-m", "modelcast.agents.tracker"], env, self.folder).start())
        if not self._beating.is_alive():
            self._beating.start()
        return self.trackers[-1]

    def stop_all(self) -> None:
        """Stop what still runs; in order, so that the group is empty for the next test."""
        self._over.set()
        if self._beating.is_alive():
            self._beating.join()
        for tracker in self.trackers:
            tracker.stop()
        self.reader.close()

    # --- speaking -----------------------------------------------------------------------------------------

    def claim(self, *entries: Entry, announce: bool = True) -> None:
        for entry in entries:
            known = self.logs.get(entry.model, ModelLog(entry.model, self.registry_id))
            self.logs[entry.model] = known.extend(claimed := stated(known, entry))
            body = claimed.body
            self.store.put(keys.log_entry(entry.model, entry.generation), body, if_absent=True)
            if announce:
                self.send(Topic.MODEL_UPDATES, entry.model, body)

    def send(self, topic: Topic, key: str, value: bytes, headers: dict[str, bytes] | None = None) -> None:
        """Produce a record, and wait until the broker has it.

        Raises:
            KafkaException: it was not delivered: a queue that is empty again does not tell.
        """
        told: Future[None] = Future()

        def delivered(error: KafkaError | None, _: object) -> None:
            told.set_exception(KafkaException(error)) if error else told.set_result(None)

        self.producer.produce(topic, key=key.encode(), value=value, headers=headers or {}, on_delivery=delivered)
        while not told.done():
            self.producer.poll(0.1)
        told.result()

    def report(self, acks: Iterable[ModelAck]) -> None:
        for ack in acks:
            self.send(Topic.MODEL_ACKS, ack.model, encode(ack), AckHeaders.of(ack).written())

    def beat(self, *regions: str) -> None:
        for region in regions or self.regions:
            self.send(*self._beat_of(region))

    def _beat_of(self, region: str) -> tuple[Topic, str, bytes]:
        self.beats += 1
        beat = RegionHeartbeat(self.registry_id, region, f"{region}-w", self.beats, 1, time.time_ns() // 1000)
        return Topic.REGION_HEARTBEATS, f"{region}/{region}-w", encode(beat)

    def _beat_on(self) -> None:
        """As regions do: what is lost while Kafka is away, or has no topics, is not the last one."""
        while not self._over.wait(BEAT_SECONDS):
            with contextlib.suppress(KafkaException):
                for region in self.alive:
                    topic, key, value = self._beat_of(region)
                    self.producer.produce(topic, key=key.encode(), value=value)
            self.producer.poll(0)

    # --- looking ------------------------------------------------------------------------------------------

    def log(self, *entries: Entry) -> ModelLog:
        return apply_all(ModelLog(entries[0].model, self.registry_id), entries)

    def said(self, model: str) -> VersionState | None:
        """What was said last of a model, with what was told of it since."""
        whole = found = None
        for value in self.records(Topic.VERSION_STATE, partition_of(model)):
            with contextlib.suppress(Exception):
                told = decode(value)
                if isinstance(told, StatesUnchanged) and whole is not None:
                    found = renewed(whole, told, told.of(model)) or found
                elif isinstance(told, VersionState) and (told.model, told.registry_id) == (model, self.registry_id):
                    whole = found = told
        return found

    def seen(self, model: str) -> VersionState | None:
        """What the live view says of a model."""
        with RedisView(self.settings, self.registry_id) as view:
            found = view.model(model)
            return found.value if found else None

    def announced(self, model: str) -> list[int]:
        """The generations of a model that stand on ``model-updates``, among others' and the tracker's probes."""
        found = []
        for value in self.records(Topic.MODEL_UPDATES, partition_of(model)):
            with contextlib.suppress(DecodeError):
                found.append(read_stated(value, book=DEFAULT).entry)
        return [e.generation for e in found if e.model == model]

    def letters(self) -> list[DeadLetter]:
        return [decode_as(DeadLetter, value) for value in self.records(Topic.DEAD_LETTERS, 0)]

    def records(self, topic: Topic, partition: int) -> list[bytes]:
        return self.reader.values(str(topic), partition)
