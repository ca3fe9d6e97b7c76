"""A Kafka that asks who is there and what they may do: passwords, and the ACLs that deployments are given."""

import os
import shlex
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AclBinding,
    AclOperation,
    AclPermissionType,
    ResourcePatternType,
    ResourceType,
)

from modelcast.infra.kafka.admin import create_topics
from modelcast.infra.kafka.client import make_admin
from modelcast.infra.local.ports import LOOPBACK, free_ports
from modelcast.infra.local.process import Child
from modelcast.infra.local.servers.jars import ensure_jars, kafka_lock
from modelcast.infra.local.servers.kafka import JVM_FLAGS, cluster_at, java
from modelcast.infra.local.servers.kafka_folder import cluster_id, format_data, write_settings
from modelcast.infra.settings import KafkaSettings, Settings

SCRIPT = Path(__file__).parents[3] / "infra" / "deploy" / "kafka" / "acls.sh"
START_ATTEMPTS = 3
TIMEOUT_SECONDS = 60.0

# Whoever comes by the plain listener is the administrator; whoever comes by the other one needs a password and ACLs.
EXTRA = """
listeners=PLAINTEXT://{host}:{plain},SASL://{host}:{sasl},CONTROLLER://{host}:{controller}
advertised.listeners=PLAINTEXT://{host}:{plain},SASL://{host}:{sasl}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,SASL:SASL_PLAINTEXT,CONTROLLER:PLAINTEXT
sasl.enabled.mechanisms=PLAIN
listener.name.sasl.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required {users};
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS
"""


@dataclass(frozen=True)
class SecuredKafka:
    """A running broker; ``admin`` may do everything, everybody else what ``grant`` gave them."""

    admin: Settings
    bootstrap_servers: str

    def env(self, user: str) -> dict[str, str]:
        """What makes a process speak as ``user``."""
        return {
            "MODELCAST_KAFKA__BOOTSTRAP_SERVERS": self.bootstrap_servers,
            "MODELCAST_KAFKA__SECURITY_PROTOCOL": "SASL_PLAINTEXT",
            "MODELCAST_KAFKA__SASL_MECHANISM": "PLAIN",
            "MODELCAST_KAFKA__SASL_USERNAME": user,
            "MODELCAST_KAFKA__SASL_PASSWORD": f"password of {user}",
        }

    def settings(self, user: str) -> Settings:
        """The settings of somebody who speaks as ``user``."""
        given = {name.removeprefix("MODELCAST_KAFKA__").lower(): value for name, value in self.env(user).items()}
        return Settings(kafka=KafkaSettings(timeout_seconds=TIMEOUT_SECONDS, **given))  # type: ignore[arg-type]


@contextmanager
def secured_kafka(directory: Path, users: list[str], regions: list[str]) -> Iterator[SecuredKafka]:
    """A broker with its topics and with the ACLs of ``acls.sh``."""
    passwords = " ".join(f'user_{user}="password of {user}"' for user in users)

    def extra(ports: list[int]) -> str:
        plain, controller, sasl = ports
        return EXTRA.format(host=LOOPBACK, plain=plain, sasl=sasl, controller=controller, users=passwords)

    child, (plain, _, sasl) = start_broker(directory, extra, more_ports=1)
    try:
        admin = Settings(kafka=KafkaSettings(bootstrap_servers=f"{LOOPBACK}:{plain}", timeout_seconds=TIMEOUT_SECONDS))
        create_topics(admin)
        wanted = [b for line in granted({"REGIONS": " ".join(regions)}) for b in _bindings(line)]
        client = make_admin(admin)
        for future in client.create_acls(list(dict.fromkeys(wanted))).values():
            future.result(TIMEOUT_SECONDS)
        yield SecuredKafka(admin, f"{LOOPBACK}:{sasl}")
    finally:
        child.stop()


def granted(env: Mapping[str, str]) -> list[str]:
    """The command lines that the script would give to Kafka's own tool."""
    done = subprocess.run(
        ["sh", str(SCRIPT)], env={**os.environ, "KAFKA_ACLS": "echo", **env}, capture_output=True, text=True, check=True
    )
    return done.stdout.splitlines()


def start_broker(directory: Path, extra: Callable[[list[int]], str], *, more_ports: int) -> tuple[Child, list[int]]:
    """Start a broker with settings above the usual ones, and wait until its plain listener answers.

    Args:
        directory: for its data.
        extra: settings for these ports: of the plain listener, of the controller, and ``more_ports`` others.
        more_ports: how many.
    """
    lock = kafka_lock()
    jars = ensure_jars(lock)
    for attempt in range(START_ATTEMPTS):
        folder = directory / str(attempt)
        folder.mkdir(parents=True)
        ports = free_ports(2 + more_ports)
        settings, logging = write_settings(folder, port=ports[0], controller_port=ports[1])
        with settings.open("a") as file:
            file.write(extra(ports))
        flags = [*JVM_FLAGS, f"-Dlog4j2.configurationFile={logging}"]
        run: list[str | Path] = [java(), *flags, "-cp", os.pathsep.join(map(str, jars))]
        format_data(folder, run, repr(lock), folder / "kafka.log")
        child = Child.start([*run, "kafka.Kafka", settings], name="kafka", log=folder / "kafka.log", grace_seconds=15)
        expected, address = cluster_id(folder), f"{LOOPBACK}:{ports[0]}"
        try:
            child.wait_until(
                lambda at=address, it=expected: cluster_at(at) == it,  # type: ignore[misc]
                what="ready",
                seconds_max=120,
            )
        except Exception:  # another program may have taken one of its ports first
            child.stop()
            if attempt == START_ATTEMPTS - 1:
                raise
        else:
            return child, ports
    raise AssertionError("unreachable")


def _bindings(line: str) -> list[AclBinding]:
    """What one call of Kafka's own tool adds."""
    words = iter(shlex.split(line))
    assert next(words) == "--add"
    given: dict[str, list[str]] = {}
    for name in words:
        given.setdefault(name, []).append(next(words))
    principals, operations = given.pop("--allow-principal"), given.pop("--operation")
    pattern = ResourcePatternType[given.pop("--resource-pattern-type", ["literal"])[0].upper()]
    kinds = {"--topic": ResourceType.TOPIC, "--group": ResourceType.GROUP}
    assert set(given) <= set(kinds), line
    return [
        AclBinding(kinds[kind], name, pattern, principal, "*", _operation(operation), AclPermissionType.ALLOW)
        for kind, names in given.items()
        for name in names
        for principal in principals
        for operation in operations
    ]


def _operation(word: str) -> AclOperation:
    """``DescribeConfigs`` → ``DESCRIBE_CONFIGS``."""
    return AclOperation["".join(f"_{c}" if c.isupper() and i else c for i, c in enumerate(word)).upper()]
