"""How the cluster is reached: the settings and ``kafka.properties`` as one set of properties for both client libraries.

Publishers, the command line and what daemons write use librdkafka; the agents' streams use aiokafka. The set is in
librdkafka's words and checked here; ``agent_connection`` says the same to aiokafka.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from modelcast.infra.settings import KafkaSettings
from modelcast.schemas.errors import UsageError

CLIENT_ID = "modelcast"
PROTOCOLS = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
NEED_A_PASSWORD = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")

_SETTINGS = {
    "bootstrap.servers": "bootstrap_servers",
    "security.protocol": "security_protocol",
    "sasl.mechanism": "sasl_mechanism",
    "sasl.username": "sasl_username",
    "sasl.password": "sasl_password",
    "ssl.ca.location": "ssl_ca_location",
}
_OTHER_NAMES = {"sasl.mechanisms": "sasl.mechanism", "metadata.broker.list": "bootstrap.servers"}
_UPPER_CASE = ("security.protocol", "sasl.mechanism")
_SWITCHES = ("enable.ssl.certificate.verification",)
_CHOICES = {"security.protocol": PROTOCOLS, "ssl.endpoint.identification.algorithm": ("https", "none")}
_FILES = ("ssl.ca.location", "ssl.certificate.location", "ssl.key.location", "ssl.keystore.location")
_OWN = frozenset(
    {
        "acks",
        "allow.auto.create.topics",
        "auto.offset.reset",
        "enable.auto.commit",
        "enable.idempotence",
        "enable.partition.eof",
        "fetch.wait.max.ms",
        "group.id",
        "isolation.level",
        "linger.ms",
        "message.max.bytes",
        "message.timeout.ms",
        "partitioner",
        "request.required.acks",
        "topic.metadata.propagation.max.ms",
    }
)
"""What Modelcast decides for its clients: what it promises depends on it."""


def connection_of(kafka: KafkaSettings) -> dict[str, str]:
    """Everything that the settings say about reaching the cluster, in librdkafka's words. Pure.

    A property that has a setting of its own may stand in either place. ``security.protocol`` is always there, and with
    SASL its mechanism, user and password are, too.

    Raises:
        UsageError: a property contradicts a setting, is Modelcast's own, has no such value, or something is missing.
    """
    found = {"bootstrap.servers": kafka.bootstrap_servers, "security.protocol": "PLAINTEXT", "client.id": CLIENT_ID}
    for given, secret in kafka.properties.items():
        name, value = _OTHER_NAMES.get(given, given), _text(secret)
        if name in _OWN:
            raise _wrong(given, "Modelcast sets this one itself", "remove it")
        found[name] = _checked(given, name, value)
    for name, field in _SETTINGS.items():
        value = getattr(kafka, field)
        if value is None or value == KafkaSettings.model_fields[field].default:
            continue
        if (other := found.get(name)) is not None and _mentions(kafka, name) and other != _text(value):
            raise _wrong(name, f"it contradicts kafka.{field}", f"keep kafka.{field}, and remove the property")
        found[name] = _text(value)
    _check_whole(found)
    return found


def check_files(connection: Mapping[str, str]) -> None:
    """Whether the files that a connection names can be read.

    Raises:
        UsageError: one can't; it is named with its setting.
    """
    for name in _FILES:
        path = connection.get(name, "")
        if not path or (name == "ssl.ca.location" and path == "probe"):
            continue
        try:
            if not (Path(path).is_dir() and name == "ssl.ca.location"):
                with Path(path).open("rb") as file:
                    file.read(1)
        except OSError as error:
            message = error.strerror or str(error)
            raise UsageError(
                f"{message[:1].lower()}{message[1:]}", subject=f"{named(name)}: {path}", hint=_FILE_HINT
            ) from None


_FILE_HINT = "name a file in PEM format that this user may read"


def named(name: str) -> str:
    """A property as people find it in their settings."""
    return f"kafka.{_SETTINGS[name]}" if name in _SETTINGS else f"kafka.properties: {name}"


def _mentions(kafka: KafkaSettings, name: str) -> bool:
    return any(_OTHER_NAMES.get(given, given) == name for given in kafka.properties)


def _checked(given: str, name: str, value: str) -> str:
    if name in _UPPER_CASE:
        value = value.upper()
    if name in _SWITCHES:
        value = value.lower()
        if value not in {"true", "false"}:
            raise _wrong(given, f"{value!r} is no switch", "write true or false")
    if name in _CHOICES and value not in _CHOICES[name]:
        raise _wrong(given, f"no such value as {value!r}", f"write {' or '.join(_CHOICES[name])}")
    return value


def _check_whole(found: dict[str, str]) -> None:
    protocol = found["security.protocol"]
    for prefix, kind, wanted in (("ssl.", "SSL", "SSL or SASL_SSL"), ("sasl.", "SASL", "SASL_SSL or SASL_PLAINTEXT")):
        unused = [name for name, value in found.items() if name.startswith(prefix) and value]
        if unused and kind not in protocol.split("_"):
            raise UsageError(
                f"{named(unused[0])} is set, but kafka.security_protocol {protocol} has no use for it",
                hint=f"set kafka.security_protocol to {wanted}, or remove it",
            )
    if not protocol.startswith("SASL"):
        return
    mechanism = found.setdefault("sasl.mechanism", "PLAIN")
    if mechanism in NEED_A_PASSWORD:
        for name in ("sasl.username", "sasl.password"):
            if not found.get(name):
                variable = f"MODELCAST_KAFKA__{_SETTINGS[name].upper()}"
                raise UsageError(f"{mechanism} needs {named(name)}, which is not set", hint=f"set it, or {variable}")


def _text(value: Any) -> str:
    return value.get_secret_value() if isinstance(value, SecretStr) else str(value)


def _wrong(name: str, what: str, hint: str) -> UsageError:
    return UsageError(what, subject=f"kafka.properties: {name}", hint=hint)
