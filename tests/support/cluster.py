"""A small world for tests that kill things: regions with agents, pods and links of their own, and a tracker."""

import json
import os
import signal
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from modelcast.agents.region.decider.memory import MEMORY_SIZE_MAX, Memory
from modelcast.consumers.pod.artifacts import verify_folder
from modelcast.infra.kafka.admin import create_topics
from modelcast.infra.local.ports import free_ports
from modelcast.infra.local.process import Child
from modelcast.infra.redis_view import RedisView
from modelcast.infra.settings import KafkaSettings, RedisSettings, RegionSettings, Settings, StoreSettings
from modelcast.infra.stores.configured import region_store
from modelcast.schemas import keys
from modelcast.schemas.digests import hex_of
from modelcast.schemas.manifest import Manifest
from modelcast.schemas.ports import ObjectStore
from modelcast.schemas.records import VersionState
from modelcast.schemas.states import State
from tests.support.servers import S3ForTests
from tests.support.slow_link import Link, Links
from tests.support.waiting import until

TOKEN = "token-of-the-region"


def _ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/readyz", timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


class Daemon:
    """One of Modelcast's processes; each life writes a log of its own."""

    def __init__(self, name: str, arguments: list[str], env: Mapping[str, str], folder: Path) -> None:
        self.name, self.arguments, self.env, self._folder = name, arguments, dict(env), folder
        self.life = 0
        self._child: Child | None = None
        self._killed = False

    @property
    def log(self) -> Path:
        return self._folder / f"{self.name}-{self.life}.log"

    @property
    def pid(self) -> int:
        assert self._child is not None
        return self._child.pid

    @property
    def alive(self) -> bool:
        return self._child is not None and self._child.running

    @property
    def died(self) -> bool:
        """It was started, has ended, and nobody here ended it."""
        return self._child is not None and not self._child.running and not self._killed

    def start(self) -> "Daemon":
        assert not self.alive
        self._killed = False
        self.life += 1
        command = [sys.executable, "-m", "modelcast.cli.main", *self.arguments]
        self._child = Child.start(command, name=self.name, log=self.log, env=self.env)
        return self

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        assert self._child is not None
        self._killed = True
        os.kill(self._child.pid, signal.SIGKILL)
        code = self._child.wait(10)
        assert code == 128 + signal.SIGKILL, f"{self.name} had ended by itself with {code}: {self.log}"

    def let_go(self) -> None:
        """Ask it to end, without waiting."""
        if self._child is not None:
            self._child.let_go()

    def stop(self) -> None:
        if self._child is not None:
            self._child.stop()
            self._child = None

    def lines(self, event: str) -> Iterator[dict[str, Any]]:
        """What this life has logged under ``event``. A line is written before what it speaks of goes on."""
        text = self.log.read_bytes() if self.log.exists() else b""
        for line in text.splitlines():
            if f'"{event}"'.encode() in line and line.endswith(b"}"):
                body = json.loads(line)
                if body.get("event") == event:
                    yield body

    def state(self, model: str) -> tuple[int, State] | None:
        """(generation, state) of ``model`` as this life logged it last."""
        found = [line for line in self.lines("state") if line["model"] == model]
        return (found[-1]["generation"], State(found[-1]["state"])) if found else None


@dataclass
class Region:
    """One region: its pods, its workers, and the links between its workers and the stores."""

    name: str
    cache: Path
    store: ObjectStore  # its bucket, not by way of the link
    origin_link: Link
    bucket_link: Link
    pods: dict[str, Daemon] = field(default_factory=dict)  # by URL
    workers: list[Daemon] = field(default_factory=list)
    checked: set[str] = field(default_factory=set)

    def memory(self, model: str) -> Memory | None:
        """The region's state object."""
        found = self.store.get(keys.region_state(model), size_max=MEMORY_SIZE_MAX)
        return Memory.decode(found.body) if found else None

    def owner(self, model: str) -> Daemon | None:
        """The worker that claimed the model last, if it lives."""
        memory = self.memory(model)
        name = memory.owner.split("#")[0] if memory else ""
        return next((w for w in self.workers if w.name == name and w.alive), None)

    def has(self, digest: str) -> bool:
        """Whether the cache shows the artifact to whoever reads it."""
        return (self.cache / "artifacts" / hex_of(digest)).is_dir()

    def check_cache(self, *, again: bool = False) -> int:
        """Hash every artifact that the cache shows (``again``: also those that were hashed before); how many."""
        artifacts = self.cache / "artifacts"
        shown = {each.name for each in artifacts.iterdir()} if artifacts.exists() else set()
        for name in sorted(shown if again else shown - self.checked):
            encoded = (artifacts / name / "manifest.json").read_bytes()
            verify_folder(artifacts / name / "files", Manifest.decode(encoded, expected_digest=f"sha256:{name}"))
        self.checked |= shown
        return len(shown)


class Cluster:
    """Origin, regions and tracker on servers that the caller started. ``stop`` ends every process.

    Args:
        root: a folder of its own.
        kafka: bootstrap servers of a cluster that nobody else uses.
        s3: a store server.
        redis_url: a Redis.
        network: on which the links run.
        regions: by name, (pods, workers).
        buckets_linked: workers reach their region's bucket by its link, too; else straight.
    """

    def __init__(
        self,
        root: Path,
        *,
        kafka: str,
        s3: S3ForTests,
        redis_url: str,
        network: Links,
        regions: Mapping[str, tuple[int, int]],
        buckets_linked: bool = True,
    ) -> None:
        self._root, self._logs = root, root / "logs"
        self._logs.mkdir(parents=True)
        origin, prefix = f"s3://{s3.bucket('origin')}", "MODELCAST_REGIONS__"
        buckets = {name: f"s3://{s3.bucket(name)}" for name in regions}
        credentials = {"access_key_id": s3.access_key_id, "secret_access_key": s3.secret_access_key}
        ports = iter(free_ports(sum(pods for pods, _ in regions.values())))
        urls = {name: tuple(f"http://127.0.0.1:{next(ports)}" for _ in range(regions[name][0])) for name in regions}
        self.settings = Settings(
            kafka=KafkaSettings(bootstrap_servers=kafka),
            redis=RedisSettings(url=redis_url),  # type: ignore[arg-type]
            stores={"origin": StoreSettings(url=origin, endpoint_url=s3.endpoint_url, **credentials)},  # type: ignore[arg-type]
            regions={
                name: RegionSettings(
                    store=StoreSettings(url=buckets[name], endpoint_url=s3.endpoint_url, **credentials),  # type: ignore[arg-type]
                    pods=urls[name],
                )
                for name in regions
            },
        )
        create_topics(self.settings)
        self.env = {
            **{k: v for k, v in os.environ.items() if not k.startswith("MODELCAST_")},
            **s3.env,
            "MODELCAST_KAFKA__BOOTSTRAP_SERVERS": kafka,
            "MODELCAST_REDIS__URL": redis_url,
            "MODELCAST_STORES__ORIGIN__URL": origin,
            "MODELCAST_STORES__ORIGIN__ENDPOINT_URL": s3.endpoint_url,
            "MODELCAST_LOG__FORMAT": "json",
        }
        for name in regions:
            self.env |= {
                f"{prefix}{name.upper()}__STORE__URL": buckets[name],
                f"{prefix}{name.upper()}__STORE__ENDPOINT_URL": s3.endpoint_url,
                f"{prefix}{name.upper()}__TOKEN": TOKEN,
                f"{prefix}{name.upper()}__CACHE_DIR": str(root / name / "cache"),
                f"{prefix}{name.upper()}__PODS": json.dumps(urls[name]),
            }
        self.tracker = self._daemon("tracker", ["run", "tracker"])
        self.regions: dict[str, Region] = {}
        for name, (_, workers) in regions.items():
            region = Region(
                name,
                root / name / "cache",
                region_store(self.settings, name),
                network.link(s3.endpoint_url),
                network.link(s3.endpoint_url),
            )
            linked = {"MODELCAST_STORES__ORIGIN__ENDPOINT_URL": region.origin_link.endpoint_url}
            if buckets_linked:
                linked[f"{prefix}{name.upper()}__STORE__ENDPOINT_URL"] = region.bucket_link.endpoint_url
            for number, url in enumerate(urls[name]):
                pod, port = f"{name}-{number}", url.rsplit(":", 1)[1]
                state = ("--state-dir", str(root / name / f"pod-{number}"))
                arguments = ["run", "pod", "--name", pod, "--region", name, "--port", port, *state]
                region.pods[url] = self._daemon(f"pod-{pod}", arguments)
            for letter in "abcdefgh"[:workers]:
                region.workers.append(self._daemon(f"{name}-{letter}", ["run", "region", name], linked))
            self.regions[name] = region

    @property
    def pods(self) -> list[str]:
        """The URLs of all pods."""
        return [url for region in self.regions.values() for url in region.pods]

    @property
    def daemons(self) -> list[Daemon]:
        """All of them; pods last."""
        regions = self.regions.values()
        return [self.tracker, *(w for r in regions for w in r.workers), *(p for r in regions for p in r.pods.values())]

    def start(self) -> None:
        """Start every process; return once the pods take traffic."""
        for daemon in reversed(self.daemons):
            daemon.start()
        until(lambda: self.check_alive() and all(map(_ready, self.pods)), "the pods are ready", 60)

    def check_alive(self) -> bool:
        """True; fails if a process ended that nobody killed."""
        for daemon in self.daemons:
            assert not daemon.died, f"{daemon.name} has ended: {daemon.log.read_text()[-2000:]}"
        return True

    def stop(self) -> None:
        """End every process."""
        for daemon in self.daemons:
            daemon.let_go()
        for daemon in self.daemons:
            daemon.stop()

    def said(self, model: str) -> VersionState | None:
        """What the live view holds of a model."""
        with RedisView(self.settings) as view:
            seen = view.model(model)
        return seen.value if seen else None

    def _daemon(self, name: str, arguments: list[str], env: Mapping[str, str] | None = None) -> Daemon:
        folder = self._root / "daemons" / name
        own = {"MODELCAST_DAEMON__WORKER": name, "MODELCAST_DAEMON__DATA_DIR": str(folder)}
        return Daemon(name, arguments, self.env | own | dict(env or {}), self._logs)
