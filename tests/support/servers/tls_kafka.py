"""A Kafka that speaks TLS with a company's own CA: with passwords (PLAIN, SCRAM), and with client certificates."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from confluent_kafka.admin import (  # type: ignore[attr-defined]
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)

from modelcast.infra.kafka.admin import create_topics
from modelcast.infra.kafka.client import make_admin
from modelcast.infra.local.ports import LOOPBACK
from modelcast.infra.settings import KafkaSettings, Settings
from tests.support.network.tls import make_authority
from tests.support.servers.secured_kafka import start_broker

USER, PASSWORD = "modelcast", "a password that nobody may see"
TIMEOUT_SECONDS = 60.0

EXTRA = """
listeners=PLAINTEXT://{host}:{plain},CONTROLLER://{host}:{controller},SECURE://{host}:{secure},MUTUAL://{host}:{mutual}
advertised.listeners=PLAINTEXT://{host}:{plain},SECURE://{host}:{secure},MUTUAL://{host}:{mutual}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SECURE:SASL_SSL,MUTUAL:SSL
ssl.keystore.type=PEM
ssl.keystore.location={server}
ssl.truststore.type=PEM
ssl.truststore.location={ca}
listener.name.mutual.ssl.client.auth=required
sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-512
listener.name.secure.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required \\
  user_{user}="{password}";
listener.name.secure.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
"""


@dataclass(frozen=True)
class TlsKafka:
    """A running broker.

    Attributes:
        admin: by the plain listener.
        secure: ``host:port`` that speaks SASL_SSL.
        mutual: ``host:port`` that asks for a client's certificate.
        folder: of the CA, with the client's certificate and key.
    """

    admin: Settings
    secure: str
    mutual: str
    folder: Path

    @property
    def ca(self) -> Path:
        return self.folder / "ca.pem"

    def env(self, mechanism: str = "SCRAM-SHA-512", **more: str) -> dict[str, str]:
        """What makes a process speak TLS with a password."""
        return {
            "MODELCAST_KAFKA__BOOTSTRAP_SERVERS": self.secure,
            "MODELCAST_KAFKA__SECURITY_PROTOCOL": "SASL_SSL",
            "MODELCAST_KAFKA__SASL_MECHANISM": mechanism,
            "MODELCAST_KAFKA__SASL_USERNAME": USER,
            "MODELCAST_KAFKA__SASL_PASSWORD": PASSWORD,
            "MODELCAST_KAFKA__SSL_CA_LOCATION": str(self.ca),
            **more,
        }


@contextmanager
def tls_kafka(directory: Path) -> Iterator[TlsKafka]:
    """A broker with its topics."""
    folder = directory / "certificates"
    ca, server = make_authority(folder)

    def extra(ports: list[int]) -> str:
        plain, controller, secure, mutual = ports
        return EXTRA.format(
            host=LOOPBACK, plain=plain, controller=controller, secure=secure, mutual=mutual,
            ca=ca, server=server, user=USER, password=PASSWORD,
        )  # fmt: skip

    child, (plain, _, secure, mutual) = start_broker(directory, extra, more_ports=2)
    try:
        admin = Settings(kafka=KafkaSettings(bootstrap_servers=f"{LOOPBACK}:{plain}", timeout_seconds=TIMEOUT_SECONDS))
        create_topics(admin)
        made = UserScramCredentialUpsertion(
            USER, ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096), PASSWORD.encode()
        )
        client = make_admin(admin)  # it answers only while it lives
        for future in client.alter_user_scram_credentials([made]).values():
            future.result(TIMEOUT_SECONDS)
        yield TlsKafka(admin, f"{LOOPBACK}:{secure}", f"{LOOPBACK}:{mutual}", folder)
    finally:
        child.stop()
