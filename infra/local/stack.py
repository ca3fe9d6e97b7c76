"""The whole stack in one folder: servers, topics, daemons. It ends with the process that started it."""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from modelcast.infra.local.layout import (
    CONFIG_FILE,
    ORIGIN_BUCKET,
    PODS_PER_REGION,
    REGIONS,
    Daemon,
    bucket_name,
    check_shape,
    inherited_env,
    modelcast_daemons,
    settings_env,
)
from modelcast.infra.local.progress import SILENT, Progress
from modelcast.infra.local.servers.kafka import KafkaServer
from modelcast.infra.local.servers.redis import RedisServer
from modelcast.infra.local.servers.s3 import S3Server
from modelcast.infra.local.service import DaemonService, Service


@dataclass(slots=True)
class LocalStack:
    """A running stack; use it as a context manager.

    Attributes:
        directory: holds everything that it writes.
        env: what to export so that Modelcast and S3 clients use it.
        regions: names, in the order asked for.
        services: everything that runs, by name; servers first.
        ready_seconds: how long each part took to be ready, and ``all``.
    """

    directory: Path
    regions: tuple[str, ...]
    env: dict[str, str] = field(default_factory=dict)
    services: dict[str, Service] = field(default_factory=dict)
    ready_seconds: dict[str, float] = field(default_factory=dict)

    @classmethod
    def start(
        cls,
        directory: Path,
        *,
        regions: Sequence[str] = REGIONS,
        pods_per_region: int = PODS_PER_REGION,
        daemons: Sequence[Daemon] | None = None,
        extra_env: Mapping[str, str] | None = None,
        progress: Progress = SILENT,
        keep_objects: bool = False,
        service: type[DaemonService] = DaemonService,
        rollouts: bool = False,
    ) -> Self:
        """Start everything and return once every part says that it is ready.

        Args:
            directory: an own folder for the stack.
            regions: names of the regions.
            pods_per_region: serving pods in each.
            daemons: which daemons to run; None: the tracker, the region agents and the pods.
            extra_env: settings for the daemons, above the stack's own.
            progress: called with each step.
            keep_objects: S3's objects outlive it in ``directory``, as Kafka's log does.
            service: how a daemon is started.
            rollouts: without ``daemons``: the rollout controller, too.

        Raises:
            UsageError: the shape makes no sense.
            DownloadFailed: something could not be fetched.
            ServerFailed: a part did not come up; its name and the end of its log are in the message.
        """
        check_shape(regions, pods_per_region)
        directory = directory.absolute()
        stack = cls(directory, tuple(regions))
        try:
            stack._start(
                lambda: (
                    modelcast_daemons(directory, stack.regions, pods_per_region, rollouts=rollouts)
                    if daemons is None
                    else daemons
                ),
                dict(extra_env or {}),
                progress,
                service,
                keep_objects=keep_objects,
            )
        except BaseException:
            stack.stop(progress)
            raise
        return stack

    def _start(
        self, choose: Callable[[], Sequence[Daemon]], extra_env: dict[str, str], progress: Progress,
        service: type[DaemonService], *, keep_objects: bool,
    ) -> None:  # fmt: skip
        began = time.monotonic()

        def ready(name: str, text: str) -> None:
            self.ready_seconds[name] = time.monotonic() - began
            progress.step(text)

        progress.step("starting S3, Redis and Kafka")
        # What is quick to launch goes first and comes up while Kafka's JVM starts.
        self.services["s3"] = s3 = S3Server.launch(self.directory / "s3", keep=keep_objects)
        self.services["redis"] = redis = RedisServer.start(self.directory / "redis", progress=progress)
        self.ready_seconds["redis"] = time.monotonic() - began
        self.services["kafka"] = kafka = KafkaServer.launch(self.directory / "kafka", progress=progress)
        s3.wait_ready()
        s3.create_buckets([ORIGIN_BUCKET, *map(bucket_name, self.regions)])
        ready("s3", f"S3 answers at {s3.endpoint_url}")
        daemons = choose()  # its ports are free once the servers have theirs
        self.env = settings_env(
            directory=self.directory,
            regions=self.regions,
            daemons=daemons,
            bootstrap_servers=kafka.bootstrap_servers,
            redis_url=redis.url,
            endpoint_url=s3.endpoint_url,
        )
        # Settings files of the working folder or the machine are about something else.
        (self.directory / CONFIG_FILE).write_text("# What this stack's commands need is in the variables.\n")
        env = {**inherited_env(), **self.env, **extra_env}
        # All at once: agents wait for Kafka by themselves, and most of a start is loading code.
        running = [self._launch(service, daemon, env) for daemon in daemons]
        kafka.wait_ready()
        create_stack_topics(kafka.bootstrap_servers)
        ready("kafka", f"Kafka answers at {kafka.bootstrap_servers}; the topics are there")
        for daemon in running:
            daemon.wait_ready()
            ready(daemon.daemon.name, f"{daemon.daemon.name} is ready")
        self.ready_seconds["all"] = time.monotonic() - began

    def _launch(self, service: type[DaemonService], daemon: Daemon, env: Mapping[str, str]) -> DaemonService:
        running = self.services[daemon.name] = service.launch(daemon, env=env, directory=self.directory)
        return running

    def stop(self, progress: Progress = SILENT) -> None:
        """End everything, daemons before servers, and wait until it is gone."""
        try:
            for group in (self._daemons(), list(self.services.values())):
                for service in group:
                    service.child.let_go()
                for service in group:
                    with suppress(ProcessLookupError):
                        service.stop()
        finally:
            # Also when a second Ctrl-C ends the waiting: the guards do the rest.
            for service in self.services.values():
                service.child.let_go()
        progress.step("stopped")

    def _daemons(self) -> list[DaemonService]:
        return [service for service in self.services.values() if isinstance(service, DaemonService)]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def create_stack_topics(bootstrap_servers: str) -> None:
    """Create Modelcast's topics on the embedded Kafka."""
    from modelcast.infra.kafka import admin as kafka_admin
    from modelcast.infra.settings import KafkaSettings, Settings

    settings = Settings.model_construct(kafka=KafkaSettings(bootstrap_servers=bootstrap_servers))
    kafka_admin.create_topics(settings, replication=1)
