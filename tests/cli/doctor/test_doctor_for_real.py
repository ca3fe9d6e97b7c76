"""``modelcast doctor`` against real servers: it finds what is wrong before it hurts, and changes nothing."""

import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelcast.infra.kafka.admin import create_topics
from modelcast.infra.settings import Settings, load_settings
from modelcast.infra.stores.configured import origin_store, region_store
from modelcast.producers import Publisher
from modelcast.schemas import keys
from tests.cli.conftest import Cli, Ended
from tests.support.network.tls import TlsFront, make_authority
from tests.support.servers.stores import S3ForTests

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]


@pytest.fixture
def here(
    cli: Cli, kafka: str, s3: S3ForTests, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Settings:
    """Settings of a small deployment, in the environment; with its topics and a publication."""
    env = {
        **s3.env,
        "MODELCAST_KAFKA__BOOTSTRAP_SERVERS": kafka,
        "MODELCAST_REDIS__URL": redis_url,
        "MODELCAST_STORES__ORIGIN__URL": f"s3://{s3.bucket('origin')}",
        "MODELCAST_STORES__ORIGIN__ENDPOINT_URL": s3.endpoint_url,
        "MODELCAST_REGIONS__EU__STORE__URL": f"s3://{s3.bucket('eu')}",
        "MODELCAST_REGIONS__EU__STORE__ENDPOINT_URL": s3.endpoint_url,
        "MODELCAST_REGIONS__EU__CACHE_DIR": str(tmp_path),
    }
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    settings = load_settings()
    create_topics(settings)
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "weights.bin").write_bytes(b"w" * 100)
    with Publisher(settings) as publisher:
        publisher.publish("doctored", tmp_path / "model")
    return settings


def checks(ended: Ended) -> dict[str, dict[str, str]]:
    assert "Traceback" not in ended.err
    return {check["subject"]: check for check in json.loads(ended.out)}


def test_a_healthy_deployment_is_well_and_unchanged(cli: Cli, here: Settings) -> None:
    before = [sorted(o.key for o in store.list("")) for store in (origin_store(here), region_store(here, "eu"))]
    ended = cli("doctor", "-o", "json")
    found = checks(ended)
    assert ended.code == 0, [check for check in found.values() if check["result"] in {"error", "unreachable"}]
    for subject in (
        "kafka: agents", "kafka: topics", "kafka: clock", "kafka: role publisher", "kafka: role region eu",
        "kafka: role tracker", "store origin", "store origin: clock", "store origin: address",
        "store origin: role publisher", "store of region eu: role region", "registry", "buckets", "bucket of region eu",
        "redis", f"regions.eu.cache_dir {here.regions['eu'].cache_dir}",
    ):  # fmt: skip
        assert found[subject]["result"] == "ok", found.get(subject)
    after = [sorted(o.key for o in store.list("")) for store in (origin_store(here), region_store(here, "eu"))]
    assert after == before


@pytest.mark.soak
def test_a_regions_bucket_that_is_the_origin_is_found_by_address_and_by_content(
    cli: Cli, here: Settings, s3: S3ForTests
) -> None:
    port = s3.endpoint_url.rpartition(":")[2]
    ended = cli(
        *("doctor", "--only", "regions", "-o", "json"),
        MODELCAST_REGIONS__EU__STORE__URL=here.stores["origin"].url,
        MODELCAST_REGIONS__EU__STORE__ENDPOINT_URL=f"http://localhost:{port}",
    )
    found = checks(ended)
    assert ended.code == 1
    assert found["buckets: stores.origin and regions.eu.store"]["result"] == "error"
    assert "holds registry logs (doctored)" in found["bucket of region eu"]["detail"]


def test_wrong_keys_and_a_missing_bucket_are_named(cli: Cli, here: Settings, s3: S3ForTests) -> None:
    ended = cli("doctor", "--only", "store", "-o", "json", MODELCAST_REGIONS__EU__STORE__URL="s3://nobody-made-this")
    assert ended.code == 6
    check = next(c for subject, c in checks(ended).items() if subject.startswith("store of region eu"))
    assert "no such bucket" in check["detail"]
    assert "create it" in check["hint"]


@pytest.mark.soak
def test_an_own_ca_that_is_missing_is_named_and_one_that_is_set_serves_both_clients(
    cli: Cli, here: Settings, s3: S3ForTests, tmp_path: Path
) -> None:
    ca, certificate = make_authority(tmp_path / "company")
    with TlsFront(s3.endpoint_url, certificate) as front:
        secure = {"MODELCAST_STORES__ORIGIN__ENDPOINT_URL": front.endpoint_url}
        ended = cli("doctor", "--only", "store", "-o", "json", **secure)
        found = next(c for subject, c in checks(ended).items() if subject.startswith("store origin: address"))
        assert (ended.code, found["result"]) == (6, "unreachable")
        assert "AWS_CA_BUNDLE" in found["hint"]
        ended = cli("doctor", "--only", "store", "-o", "json", **secure, AWS_CA_BUNDLE=str(ca))
        found = checks(ended)["store origin: address"]
        assert (ended.code, found["result"]) == (0, "ok")
        assert "by boto3 and our own client" in found["detail"]


@pytest.fixture
def silent() -> Iterator[str]:
    """Somebody who accepts connections, and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"127.0.0.1:{listener.getsockname()[1]}"


def test_what_hangs_or_is_away_costs_bounded_time_and_hides_nothing(cli: Cli, here: Settings, silent: str) -> None:
    began = time.monotonic()
    ended = cli(
        *("doctor", "-o", "json"),
        MODELCAST_KAFKA__BOOTSTRAP_SERVERS=silent,
        MODELCAST_REDIS__URL=f"redis://{silent}/0",
        MODELCAST_STORES__ORIGIN__ENDPOINT_URL=f"http://{silent}",
        MODELCAST_REGIONS__EU__PODS=f'["http://{silent}"]',
    )
    assert time.monotonic() - began < 70
    found = checks(ended)
    assert ended.code == 6
    assert found["store of region eu"]["result"] == "ok"
    for part in ("kafka", "redis", "store origin", "pod eu"):
        bad = [c for subject, c in found.items() if subject.startswith(part) and c["result"] == "unreachable"]
        assert bad, part
        assert all(check["hint"] for check in bad)


def test_an_unknown_role_or_check_is_a_usage_error(cli: Cli, here: Settings) -> None:
    assert cli("doctor", "--role", "emperor").code == 2
    assert cli("doctor", "--only", "weather").code == 2


def test_a_registry_that_has_lost_its_id_is_named_with_what_to_do(cli: Cli, here: Settings) -> None:
    origin_store(here).delete(keys.REGISTRY_ID)
    found = checks(cli("doctor", "--only", "store", "-o", "json"))
    (registry,) = (check for subject, check in found.items() if subject.startswith("registry"))
    assert registry["result"] in {"warning", "error"}
    assert registry["hint"]
