"""A small world for tests that kill things: regions with agents, pods and links of their own, and a tracker."""

import json
import os
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from modelcast.consumers.artifacts.verified import verify_folder
from modelcast.infra.kafka.admin import create_topics
from modelcast.infra.local.ports import free_ports
from modelcast.infra.redis_view import RedisView
from modelcast.infra.settings import KafkaSettings, RedisSettings, RegionSettings, Settings, StoreSettings
from modelcast.infra.stores.configured import region_store
from modelcast.schemas import keys
from modelcast.schemas.digests import hex_of
from modelcast.schemas.manifest import Manifest
from modelcast.schemas.ports import ObjectStore
from modelcast.schemas.records import VersionState
from modelcast.schemas.region_memory import MEMORY_SIZE_MAX, Memory
from tests.support.any_format import ANY_FORMAT
from tests.support.network.slow_link import Link, Links
from tests.support.processes.daemon import Daemon
from tests.support.servers.stores import S3ForTests
from tests.support.waiting import until

TOKEN = "token-of-the-region"


def _ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/readyz", timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


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
            **ANY_FORMAT,
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
        command = ["-m", "modelcast.cli.main", *arguments]
        return Daemon(name, command, self.env | own | dict(env or {}), self._logs)
