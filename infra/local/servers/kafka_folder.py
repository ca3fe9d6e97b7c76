"""The folder of an embedded Kafka: settings, logging, and the format that it needs before its first start."""

import base64
import hashlib
import shutil
import tempfile
import uuid
from pathlib import Path

from modelcast.infra.files import written_aside
from modelcast.infra.local.errors import ServerFailed
from modelcast.infra.local.ports import LOOPBACK
from modelcast.infra.local.process import Child, tail
from modelcast.infra.local.servers.jars import cache_dir

FORMAT_SECONDS_MAX = 60.0

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
# After a kill the broker may register again once its old session has ended.
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

META = """\
version=1
cluster.id={cluster_id}
node.id=1
directory.id={directory_id}
"""


def write_settings(directory: Path, *, port: int, controller_port: int) -> tuple[Path, Path]:
    """Write both files; return where the settings and the logging settings are."""
    settings, logging = directory / "server.properties", directory / "log4j2.properties"
    data = directory / "data"
    settings.write_text(SETTINGS.format(host=LOOPBACK, port=port, controller_port=controller_port, data=data))
    logging.write_text(LOGGING)
    return settings, logging


def cluster_id(directory: Path) -> str:
    """The id of the cluster whose data the folder holds; a new random one for a new folder."""
    file = directory / "cluster-id"
    if not file.exists():
        with written_aside(file, durable=False) as new:
            new.write(_random_id().encode())
    return file.read_text()


def format_data(directory: Path, java: list[str | Path], locked: str, log: Path) -> None:
    """Format ``data`` unless it is.

    A new log starts from a checkpoint that depends on Kafka's release alone, so Kafka's own tool makes it once and
    the cache keeps it: that saves a JVM start each time.

    Args:
        directory: the folder of the embedded Kafka.
        java: command line of Java with the class path.
        locked: text that names the release and changes with it.
        log: file for the tool's output.

    Raises:
        ServerFailed: the tool failed.
    """
    data = directory / "data"
    if (data / "meta.properties").exists():
        return
    checkpoint = cache_dir() / f"kafka-{hashlib.sha256(locked.encode()).hexdigest()[:16]}.checkpoint"
    if not checkpoint.exists():
        _make_checkpoint(checkpoint, java, log)
    data.mkdir(exist_ok=True)
    shutil.copyfile(checkpoint, data / "bootstrap.checkpoint")
    # Last, because it is what says that the folder is formatted.
    partial = data / "meta.properties.partial"
    partial.write_text(META.format(cluster_id=cluster_id(directory), directory_id=_random_id()))
    partial.replace(data / "meta.properties")


def _make_checkpoint(checkpoint: Path, java: list[str | Path], log: Path) -> None:
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=checkpoint.parent, prefix=".format-") as name:
        scratch = Path(name)
        settings, _ = write_settings(scratch, port=9092, controller_port=9093)
        tool: list[str | Path] = ["kafka.tools.StorageTool", "format", "-t", _random_id(), "-c", settings]
        if Child.start([*java, *tool], name="kafka", log=log).wait(FORMAT_SECONDS_MAX) != 0:
            raise ServerFailed("could not format a folder", subject="kafka", hint=tail(log))
        (scratch / "data" / "bootstrap.checkpoint").replace(checkpoint)


def _random_id() -> str:
    """Kafka's own form of a UUID, but never with a leading dash: option parsers would stumble over it."""
    return "m" + base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")[1:]
