"""`modelcast registry`, against a real S3 server; nobody confirms on Kafka."""

import pytest

from modelcast.infra.registry.reader import RegistryReader
from modelcast.infra.stores import open_store
from modelcast.producers import Publisher
from modelcast.schemas import keys
from modelcast.schemas.log.fold import ModelLog
from modelcast.schemas.ports import ObjectStore
from modelcast.schemas.region_memory import Memory
from tests.cli.conftest import Cli
from tests.producers.fakes import SETTINGS, Heard
from tests.producers.published import model
from tests.support.processes.command_line import NOWHERE
from tests.support.servers.stores import S3ForTests


@pytest.fixture
def env(s3: S3ForTests, cli: Cli, aws_env) -> dict[str, str]:  # type: ignore[no-untyped-def]
    """The settings of an origin and of one region."""
    aws_env(s3)
    stores = {"STORES__ORIGIN": s3.bucket(), "REGIONS__EU__STORE": s3.bucket()}
    found = {f"MODELCAST_{name}__URL": f"s3://{bucket}" for name, bucket in stores.items()}
    found |= {f"MODELCAST_{name}__ENDPOINT_URL": s3.endpoint_url for name in stores}
    found |= {"MODELCAST_KAFKA__BOOTSTRAP_SERVERS": NOWHERE, "MODELCAST_KAFKA__TIMEOUT_SECONDS": "1"}
    return {**s3.env, **found}


@pytest.fixture
def origin(env: dict[str, str]) -> ObjectStore:
    url, endpoint = (env[f"MODELCAST_STORES__ORIGIN__{name}"] for name in ("URL", "ENDPOINT_URL"))
    return open_store(url, endpoint_url=endpoint)


@pytest.fixture
def eu(env: dict[str, str]) -> ObjectStore:
    url, endpoint = (env[f"MODELCAST_REGIONS__EU__STORE__{name}"] for name in ("URL", "ENDPOINT_URL"))
    return open_store(url, endpoint_url=endpoint)


@pytest.fixture
def fraud(origin: ObjectStore, tmp_path) -> ModelLog:  # type: ignore[no-untyped-def]
    """Three versions."""
    with Publisher(SETTINGS, store=origin, announcer=Heard()) as publisher:
        for content in ("1", "2", "3"):
            publisher.publish("fraud", model(tmp_path, content))
    return RegistryReader(origin).tail("fraud").log


def accepted(eu: ObjectStore, log: ModelLog) -> None:
    memory = Memory(log.registry_id, log.model, "eu", 1, "w", log.head, log.digest_at(log.head))
    eu.put(keys.region_state(log.model), memory.encode())


def test_a_rewritten_log_is_accepted_with_a_reason_above_all_that_was_accepted(
    cli: Cli, env: dict[str, str], origin: ObjectStore, eu: ObjectStore, fraud: ModelLog
) -> None:
    accepted(eu, fraud)
    origin.delete(keys.log_entry("fraud", 3))
    assert cli("registry", "accept", "fraud", "--yes", **env).code == 2
    assert RegistryReader(origin).tail("fraud").log.head == 2
    ended = cli("registry", "accept", "fraud", "--reason", "restored", "--yes", **env)
    assert ended.code == 7, "it stands in the log; the tracker announces it"
    assert f"eu had read it up to generation 3 ({fraud.digest_at(3)[7:19]})" in ended.err
    assert "nothing is lost" in ended.err
    log = RegistryReader(origin).tail("fraud").log
    assert (log.head, log.replaced) == (4, {fraud.digest_at(3): 4})
    again = cli("registry", "accept", "fraud", "--reason", "restored", "--yes", **env)
    assert (again.code, "nothing to accept" in again.err) == (5, True)


def test_what_no_region_accepted_needs_no_acceptance(cli: Cli, env: dict[str, str], fraud: ModelLog) -> None:
    ended = cli("registry", "accept", "fraud", "--reason", "restored", "--yes", **env)
    assert ended.code == 1
    assert "no region has accepted anything" in ended.err


def test_a_region_whose_bucket_is_away_may_not_be_passed_over(
    cli: Cli, env: dict[str, str], origin: ObjectStore, fraud: ModelLog
) -> None:
    away = {**env, "MODELCAST_REGIONS__EU__STORE__ENDPOINT_URL": f"http://{NOWHERE}"}
    assert cli("registry", "accept", "fraud", "--reason", "restored", "--yes", **away).code == 6
    assert RegistryReader(origin).tail("fraud").log.head == 3


def test_a_lost_id_is_found_in_the_logs_and_put_back(
    cli: Cli, env: dict[str, str], origin: ObjectStore, fraud: ModelLog
) -> None:
    there = cli("registry", "restore-id", "--yes", **env)
    assert (there.code, "the registry has an id" in there.err) == (5, True)
    origin.delete(keys.REGISTRY_ID)
    assert "restore-id" in cli("history", "fraud", **env).err
    other = cli("registry", "restore-id", "another", "--yes", **env)
    assert (other.code, "no log names another" in other.err) == (5, True)
    assert origin.head(keys.REGISTRY_ID) is None
    ended = cli("registry", "restore-id", "--yes", **env)
    assert (ended.code, fraud.registry_id in ended.err) == (0, True)
    assert RegistryReader(origin).registry_id() == fraud.registry_id
    assert cli("history", "fraud", **env).code == 0


def test_logs_of_two_registries_leave_the_choice_to_a_person(
    cli: Cli, env: dict[str, str], origin: ObjectStore, fraud: ModelLog, tmp_path
) -> None:  # type: ignore[no-untyped-def]
    from modelcast.infra.stores import MemoryStore

    other = MemoryStore()
    with Publisher(SETTINGS, store=other, announcer=Heard()) as publisher:
        publisher.publish("churn", model(tmp_path, "1"))
    stray = other.get(keys.log_entry("churn", 1), size_max=10**6)
    assert stray is not None
    origin.put(keys.log_entry("churn", 1), stray.body)
    origin.delete(keys.REGISTRY_ID)
    ended = cli("registry", "restore-id", "--yes", **env)
    assert (ended.code, "several ids" in ended.err) == (5, True)
    assert cli("registry", "restore-id", fraud.registry_id, "--yes", **env).code == 0


def test_an_empty_store_has_lost_nothing(cli: Cli, env: dict[str, str]) -> None:
    ended = cli("registry", "restore-id", "--yes", **env)
    assert (ended.code, "nothing was lost" in ended.err) == (1, True)
