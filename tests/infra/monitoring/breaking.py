"""Real faults of a stack, made from outside: what people, disks, stores and other programs do to it."""

import json
import os
import shutil
import sys
import threading
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError

from modelcast.infra.local.layout import ORIGIN_BUCKET, Daemon
from modelcast.infra.local.ports import free_ports
from modelcast.infra.local.process import Child
from modelcast.infra.local.servers.s3 import client_for
from modelcast.infra.local.service import DaemonService
from modelcast.schemas.keys import REGISTRY_ID
from modelcast.schemas.topics import Topic
from tests.infra.monitoring.conftest import Scraped
from tests.support.processes.command_line import INPUT, CommandLine
from tests.support.processes.services import ForkedService
from tests.support.waiting import until

STRANGER = """
import sys
from confluent_kafka import Consumer
servers, group, topic = sys.argv[1:]
consumer = Consumer({"bootstrap.servers": servers, "group.id": group, "enable.auto.commit": False,
                     "session.timeout.ms": 6000})
consumer.subscribe([topic], on_assign=lambda *_: print("has partitions", flush=True))
while True:
    consumer.poll(0.5)
"""
"""A program that reads a topic in the name of a group."""
QUESTION = json.dumps({"inputs": [{"name": "x", "shape": [1, 2], "datatype": "FP32", "data": INPUT}]}).encode()


def damage_origin(scraped: Scraped, model: str, version: int, modelcast: CommandLine) -> None:
    """Have other bytes in the place of a version's."""
    s3 = client_for(scraped.stack.env["MODELCAST_STORES__ORIGIN__ENDPOINT_URL"])
    for each in modelcast("inspect", f"{model}/{version}", "-o", "json").json["files"]:
        key = f"blobs/sha256/{each['digest'].removeprefix('sha256:')}"
        size = s3.head_object(Bucket=ORIGIN_BUCKET, Key=key)["ContentLength"]
        s3.put_object(Bucket=ORIGIN_BUCKET, Key=key, Body=bytes(size))


@contextmanager
def filling(folder: Path) -> Iterator[None]:
    """A file that grows by a share of what is free every few seconds."""
    over, path = threading.Event(), folder / "growing"

    def grow() -> None:
        with path.open("wb") as file:
            while not over.wait(3):
                os.posix_fallocate(
                    file.fileno(), os.fstat(file.fileno()).st_size, shutil.disk_usage(folder).free // 120
                )

    growing = threading.Thread(target=grow)
    growing.start()
    try:
        yield
    finally:
        over.set()
        growing.join()
        path.unlink()


@contextmanager
def unreadable_id(scraped: Scraped) -> Iterator[None]:
    """The registry's id is damaged for a while."""
    s3 = client_for(scraped.stack.env["MODELCAST_STORES__ORIGIN__ENDPOINT_URL"])
    before = s3.get_object(Bucket=ORIGIN_BUCKET, Key=REGISTRY_ID)["Body"].read()
    s3.put_object(Bucket=ORIGIN_BUCKET, Key=REGISTRY_ID, Body=b"{")
    try:
        yield
    finally:
        s3.put_object(Bucket=ORIGIN_BUCKET, Key=REGISTRY_ID, Body=before)


@contextmanager
def with_the_bucket_of(scraped: Scraped, region: str) -> Iterator[None]:
    """Another region runs whose settings name this one's bucket, as a copied line does."""
    (port,) = free_ports(1)
    env, ours = scraped.daemon(f"region-{region}").env, f"MODELCAST_REGIONS__{region.upper()}__"
    theirs = {"MODELCAST_REGIONS__ZZ__" + name.removeprefix(ours): env[name] for name in env if name.startswith(ours)}
    folder = scraped.stack.directory / "zz"
    daemon = Daemon(
        "region-zz",
        ("run", "region", "zz"),
        port,
        {
            "MODELCAST_DAEMON__PORT": str(port),
            "MODELCAST_DAEMON__DATA_DIR": str(folder),
            "MODELCAST_DAEMON__WORKER": "zz",
            "MODELCAST_REGIONS__ZZ__CACHE_DIR": str(folder / "cache"),
        },
    )
    service = ForkedService.launch(daemon, env={**env, **theirs}, directory=scraped.stack.directory)
    try:
        yield
    finally:
        service.stop()


@contextmanager
def reading_as(scraped: Scraped, region: str) -> Iterator[None]:
    """Another program reads in the name of a region's group when its agent starts: Kafka has the agent read nothing.

    The agent says so, and reads by itself some time after the other has gone.
    """
    agent = scraped.daemon(f"region-{region}")
    agent.child.stop()
    log = scraped.stack.directory / "logs" / f"stranger-{region}.log"
    servers = scraped.stack.env["MODELCAST_KAFKA__BOOTSTRAP_SERVERS"]
    words = [sys.executable, "-c", STRANGER, servers, f"modelcast-region-{region}", str(Topic.MODEL_UPDATES)]
    stranger = Child.start(words, name="stranger", log=log)
    try:
        stranger.wait_until(lambda: "has partitions" in log.read_text(), what="a member of the group", seconds_max=60)
        agent.restart()
        until(lambda: "InconsistentGroupProtocolError" in readiness(agent), lambda: readiness(agent), 60)
        yield
    finally:
        stranger.kill()


def readiness(service: DaemonService) -> str:
    """What a daemon's readiness probe answers."""
    try:
        with urllib.request.urlopen(f"{service.daemon.url}/readyz", timeout=5) as answer:
            return str(answer.read().decode())
    except HTTPError as error:
        return error.read().decode()
    except OSError as error:
        return str(error)


@contextmanager
def asked(pods: Sequence[str], model: str) -> Iterator[None]:
    """Users ask these pods again and again."""
    over = threading.Event()

    def ask() -> None:
        while not over.wait(0.02):
            for pod in pods:
                request = urllib.request.Request(
                    f"{pod}/v2/models/{model}/infer", QUESTION, {"Content-Type": "application/json"}
                )
                with suppress(OSError, HTTPException), urllib.request.urlopen(request, timeout=10) as answer:
                    answer.read()

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        yield
    finally:
        over.set()
        asking.join()
