"""The connection's options for aiokafka: the same meaning as librdkafka gives to the same properties."""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import NamedTemporaryFile

from modelcast.infra.kafka.connection import CLIENT_ID, NEED_A_PASSWORD, check_files, connection_of, named
from modelcast.infra.settings import Settings
from modelcast.schemas.errors import UsageError

HONOURED = frozenset(
    {
        "bootstrap.servers",
        "client.id",
        "connections.max.idle.ms",
        "enable.ssl.certificate.verification",
        "metadata.max.age.ms",
        "sasl.mechanism",
        "sasl.password",
        "sasl.username",
        "security.protocol",
        "ssl.ca.location",
        "ssl.ca.pem",
        "ssl.certificate.location",
        "ssl.certificate.pem",
        "ssl.cipher.suites",
        "ssl.endpoint.identification.algorithm",
        "ssl.key.location",
        "ssl.key.password",
        "ssl.key.pem",
    }
)
"""Properties with a meaning for both libraries."""


@dataclass(frozen=True, slots=True)
class AgentConnection:
    """How an agent's streams reach the cluster.

    Attributes:
        servers: ``host:port``, at least one.
        protocol: as Kafka names it.
        tls: None for a plain connection.
        limits_ms: ``metadata_max_age_ms`` and ``connections_max_idle_ms``, where they are set.
    """

    servers: tuple[str, ...]
    client_id: str
    protocol: str
    tls: ssl.SSLContext | None
    mechanism: str = ""
    username: str = ""
    password: str = field(default="", repr=False)
    limits_ms: Mapping[str, int] = field(default_factory=dict)


def agent_connection(settings: Settings) -> AgentConnection:
    """The options of an agent's client.

    Raises:
        UsageError: a property makes no sense, or aiokafka has no word for it: then no agent may run, because its
            streams would go another way than what it writes.
    """
    found = connection_of(settings.kafka)
    check_files(found)
    if strange := sorted(set(found) - HONOURED):
        raise UsageError(
            "an agent's streams can't honour it" if len(strange) == 1 else "an agent's streams can't honour them",
            subject=f"kafka.properties: {', '.join(strange)}",
            hint="remove it for daemons; publishers and command lines may have it in settings of their own",
        )
    servers = tuple(s.strip() for s in found["bootstrap.servers"].split(",") if s.strip())
    if not servers:
        raise UsageError("no Kafka servers", hint="set MODELCAST_KAFKA__BOOTSTRAP_SERVERS=host:port")
    mechanism = found.get("sasl.mechanism", "")
    if mechanism and mechanism not in NEED_A_PASSWORD:
        raise UsageError(
            f"an agent's streams can't do {mechanism}", subject=named("sasl.mechanism"),
            hint=f"use one of {', '.join(NEED_A_PASSWORD)}, or client certificates (security_protocol SSL)",
        )  # fmt: skip
    protocol = found["security.protocol"]
    return AgentConnection(
        servers=servers,
        client_id=found.get("client.id", CLIENT_ID),
        protocol=protocol,
        tls=tls_context(found) if protocol.endswith("SSL") else None,
        mechanism=mechanism,
        username=found.get("sasl.username", ""),
        password=found.get("sasl.password", ""),
        limits_ms={name.replace(".", "_"): _whole(name, found[name]) for name in _LIMITS if name in found},
    )


_LIMITS = ("metadata.max.age.ms", "connections.max.idle.ms")


def _whole(name: str, text: str) -> int:
    if not text.isdecimal():
        raise UsageError(f"{text!r} is no number", subject=named(name), hint="write milliseconds")
    return int(text)


def tls_context(connection: Mapping[str, str]) -> ssl.SSLContext:
    """The TLS context that trusts and shows what librdkafka does by the same properties.

    Raises:
        UsageError: a certificate or key can't be used; its setting is named.
    """
    place, pem = connection.get("ssl.ca.location", ""), connection.get("ssl.ca.pem", "")
    source = "ssl.ca.location" if place else "ssl.ca.pem"
    folder = bool(place) and Path(place).is_dir()
    try:
        context = ssl.create_default_context(
            cafile=place if place not in {"", "probe"} and not folder else None,
            capath=place if folder else None,
            cadata=pem or None,
        )
    except (ssl.SSLError, ValueError) as error:
        raise _unusable(source, place, error) from None
    # Python 3.13 asks more of a CA than OpenSSL does by itself; librdkafka does not.
    context.verify_flags &= ~ssl.VerifyFlags.VERIFY_X509_STRICT
    if connection.get("ssl.endpoint.identification.algorithm") == "none":
        context.check_hostname = False
    if connection.get("enable.ssl.certificate.verification") == "false":
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if ciphers := connection.get("ssl.cipher.suites"):
        try:
            context.set_ciphers(ciphers)
        except ssl.SSLError as error:
            raise _unusable("ssl.cipher.suites", ciphers, error) from None
    _load_certificate(context, connection)
    return context


def _load_certificate(context: ssl.SSLContext, connection: Mapping[str, str]) -> None:
    """The client's certificate; Python reads it from files only."""
    certificate, key = connection.get("ssl.certificate.location", ""), connection.get("ssl.key.location", "")
    certificate_pem, key_pem = connection.get("ssl.certificate.pem", ""), connection.get("ssl.key.pem", "")
    if not certificate and not certificate_pem:
        if key or key_pem:
            raise UsageError(
                "a key without its certificate", subject=named("ssl.key.location"), hint="set ssl.certificate.location"
            )
        return

    def password() -> str:
        if not (given := connection.get("ssl.key.password", "")):
            raise UsageError("the key is encrypted", subject=named("ssl.key.password"), hint="set its password")
        return given

    with NamedTemporaryFile("w", suffix=".pem") as written:  # readable by this user alone
        if certificate_pem or key_pem:
            texts = [Path(certificate).read_text() if certificate else certificate_pem]
            texts.append(Path(key).read_text() if key else key_pem)
            written.write("\n".join(texts))
            written.flush()
            certificate, key = written.name, ""
        try:
            context.load_cert_chain(certificate, key or None, password)
        except (ssl.SSLError, OSError) as error:
            raise _unusable("ssl.certificate.location", f"{certificate} {key}".strip(), error) from None


def _unusable(name: str, value: str, error: Exception) -> UsageError:
    message = getattr(error, "reason", None) or str(error)
    return UsageError(
        f"it can't be used: {str(message).lower().replace('_', ' ')}", subject=f"{named(name)}: {value}".rstrip(": "),
        hint="is it in PEM format, with the key that belongs to it and that key's password?",
    )  # fmt: skip
