"""One set of settings for both client libraries: what each is told, and what neither may be told."""

import ssl
from pathlib import Path
from typing import Any

import pytest

from modelcast.infra.kafka.agent_connection import agent_connection
from modelcast.infra.kafka.client import kafka_unavailable, make_producer
from modelcast.infra.kafka.connection import connection_of
from modelcast.infra.settings import KafkaSettings, Settings, load_settings
from modelcast.schemas.errors import UsageError
from tests.support.network.tls import CLIENT_KEY_PASSWORD, make_authority

SASL = {"security_protocol": "SASL_PLAINTEXT", "sasl_username": "u", "sasl_password": "p"}


def settings(properties: dict[str, Any] | None = None, **kafka: Any) -> Settings:
    return Settings(kafka=KafkaSettings(properties=properties or {}, **kafka))


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("company")
    make_authority(folder)
    return folder


def test_a_property_means_what_its_setting_means() -> None:
    by_settings = settings(**SASL, sasl_mechanism="SCRAM-SHA-256")
    by_properties = settings(
        {
            "security.protocol": "sasl_plaintext",
            "sasl.mechanisms": "SCRAM-SHA-256",
            "sasl.username": "u",
            "sasl.password": "p",
        }
    )
    assert connection_of(by_settings.kafka) == connection_of(by_properties.kafka)
    for each in (by_settings, by_properties):
        agent = agent_connection(each)
        assert (agent.protocol, agent.mechanism) == ("SASL_PLAINTEXT", "SCRAM-SHA-256")
        assert (agent.username, agent.password, agent.tls) == ("u", "p", None)


REFUSED = [
    ({"acks": "1"}, {}, "kafka.properties: acks"),
    ({"group.id": "mine"}, {}, "kafka.properties: group.id"),
    ({"security.protocol": "tls"}, {}, "no such value as 'TLS'"),
    ({"sasl.username": "v"}, SASL, "contradicts kafka.sasl_username"),
    ({"bootstrap.servers": "a:1"}, {"bootstrap_servers": "b:1"}, "contradicts kafka.bootstrap_servers"),
    ({"ssl.ca.location": "/ca.pem"}, {}, "kafka.ssl_ca_location is set, but kafka.security_protocol PLAINTEXT"),
    ({}, {"sasl_password": "p"}, "kafka.sasl_password is set, but kafka.security_protocol PLAINTEXT"),
    ({}, {"security_protocol": "SASL_SSL", "sasl_username": "u"}, "PLAIN needs kafka.sasl_password"),
    ({"enable.ssl.certificate.verification": "perhaps"}, {"security_protocol": "SSL"}, "'perhaps' is no switch"),
    ({"ssl.endpoint.identification.algorithm": "ldaps"}, {"security_protocol": "SSL"}, "no such value as 'ldaps'"),
]


@pytest.mark.parametrize(("properties", "kafka", "told"), REFUSED, ids=[told for _, _, told in REFUSED])
def test_what_makes_no_sense_is_refused_with_its_name_and_without_passwords(
    properties: dict[str, str], kafka: dict[str, str], told: str
) -> None:
    with pytest.raises(UsageError) as refused:
        connection_of(settings(properties, **kafka).kafka)
    assert told in str(refused.value)
    assert refused.value.hint


@pytest.mark.parametrize("name", ["compression.type", "ssl.keystore.location", "socket.timeout.ms", "nonsense"])
def test_an_agent_names_a_property_that_its_streams_cannot_honour(name: str, authority: Path) -> None:
    value = str(authority / "ca.pem")
    with pytest.raises(UsageError, match=r"kafka\.properties: " + name.replace(".", r"\.")) as refused:
        agent_connection(settings({name: value}, security_protocol="SSL"))
    assert "remove it for daemons" in refused.value.hint


def test_an_agent_cannot_do_every_mechanism() -> None:
    with pytest.raises(UsageError, match="GSSAPI"):
        agent_connection(settings({"security.protocol": "SASL_SSL", "sasl.mechanism": "GSSAPI"}))


def test_certificates_names_and_ciphers_mean_the_same_to_an_agent(authority: Path) -> None:
    ca = str(authority / "ca.pem")
    usual = agent_connection(settings(security_protocol="SSL", ssl_ca_location=ca)).tls
    assert usual is not None
    assert (usual.check_hostname, usual.verify_mode) == (True, ssl.CERT_REQUIRED)
    assert [dict(x[0] for x in c["subject"])["commonName"] for c in usual.get_ca_certs()] == [  # type: ignore[union-attr, misc]
        f"Company CA {authority.name}"
    ]
    lenient = {"ssl.ca.location": ca, "ssl.endpoint.identification.algorithm": "none"}
    any_name = agent_connection(settings(lenient, security_protocol="SSL")).tls
    assert any_name is not None
    assert (any_name.check_hostname, any_name.verify_mode) == (False, ssl.CERT_REQUIRED)
    anybody = agent_connection(settings({"enable.ssl.certificate.verification": False}, security_protocol="SSL")).tls
    assert anybody is not None
    assert (anybody.check_hostname, anybody.verify_mode) == (False, ssl.CERT_NONE)
    with_pem = {"ssl.ca.pem": Path(ca).read_text(), "ssl.cipher.suites": "ECDHE-ECDSA-AES128-GCM-SHA256"}
    by_text = agent_connection(settings(with_pem, security_protocol="SSL")).tls
    assert by_text is not None
    assert len(by_text.get_ca_certs()) == 1
    assert "ECDHE-ECDSA-AES128-GCM-SHA256" in {c["name"] for c in by_text.get_ciphers()}
    assert "ECDHE-RSA-AES256-GCM-SHA384" not in {c["name"] for c in by_text.get_ciphers()}


def certificate(authority: Path, **changes: str) -> Settings:
    given = {
        "ssl.ca.location": str(authority / "ca.pem"),
        "ssl.certificate.location": str(authority / "client.pem"),
        "ssl.key.location": str(authority / "client.key"),
        "ssl.key.password": CLIENT_KEY_PASSWORD,
    }
    named = {name.replace("__", "."): value for name, value in changes.items()}
    return settings({k: v for k, v in (given | named).items() if v}, security_protocol="SSL")


WRONG_FILES = [
    ({"ssl__ca__location": "/nowhere/ca.pem"}, "kafka.ssl_ca_location: /nowhere/ca.pem"),
    ({"ssl__certificate__location": "/nowhere/c.pem"}, "ssl.certificate.location: /nowhere/c.pem"),
    ({"ssl__key__location": "/nowhere/k.pem"}, "ssl.key.location: /nowhere/k.pem"),
]


@pytest.mark.parametrize(("changes", "told"), WRONG_FILES, ids=[told for _, told in WRONG_FILES])
def test_a_file_that_cannot_be_read_is_named_by_both_libraries(
    authority: Path, changes: dict[str, str], told: str
) -> None:
    for ask in (agent_connection, make_producer):
        with pytest.raises(UsageError) as refused:
            ask(certificate(authority, **changes))  # type: ignore[operator]
        assert told in str(refused.value)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"ssl__key__password": "wrong"}, "ssl.certificate.location"),
        ({"ssl__key__password": ""}, "ssl.key.password: the key is encrypted"),
        ({"ssl__ca__location": __file__}, "kafka.ssl_ca_location"),
    ],
)
def test_a_certificate_that_cannot_be_used_is_named_and_its_password_is_not(
    authority: Path, changes: dict[str, str], told: str
) -> None:
    with pytest.raises(UsageError) as refused:
        agent_connection(certificate(authority, **changes))
    assert told in str(refused.value)
    assert CLIENT_KEY_PASSWORD not in str(refused.value)


def test_properties_are_written_as_toml_has_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "modelcast.toml"
    path.write_text(
        '[kafka.properties]\nssl.ca.location = "/ca.pem"\n"enable.ssl.certificate.verification" = false\n'
        '"metadata.max.age.ms" = 60000\n"ssl.key.password" = "hidden"\n'
    )
    monkeypatch.setenv("MODELCAST_CONFIG", str(path))
    read = load_settings()
    told = dict(read.kafka.properties)
    assert "hidden" not in repr(read)
    assert told.pop("ssl.key.password").get_secret_value() == "hidden"  # type: ignore[union-attr]
    assert told == {
        "ssl.ca.location": "/ca.pem",
        "enable.ssl.certificate.verification": "false",
        "metadata.max.age.ms": "60000",
    }


def test_a_property_that_is_a_list_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "modelcast.toml").write_text('[kafka.properties]\n"client.id" = ["a"]\n')
    monkeypatch.setenv("MODELCAST_CONFIG", str(tmp_path / "modelcast.toml"))
    with pytest.raises(UsageError, match=r"kafka\.properties: client\.id: write a text"):
        load_settings()


def test_a_handshake_that_was_hung_up_on_names_both_causes() -> None:
    """Which of its errors librdkafka tells first is a race."""
    text = "127.0.0.1:1/bootstrap: Disconnected: SSL connection closed by peer (after 3ms in state SSL_HANDSHAKE)"
    hint = kafka_unavailable(text, settings(security_protocol="SSL")).hint
    assert "kafka.security_protocol is SSL" in hint
    assert "ssl.certificate.location" in hint
