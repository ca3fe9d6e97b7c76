"""``modelcast publish`` and ``delta publish`` as a person uses them, on the embedded store; Kafka is away."""

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Cli
from tests.support.records.pairs import adam_step, bf16, safetensors_bytes, weights
from tests.support.servers.stores import S3ForTests

pytestmark = pytest.mark.integration


@pytest.fixture
def env(s3: S3ForTests, tmp_path: Path) -> dict[str, str]:
    return {
        **s3.env,
        "MODELCAST_STORES__ORIGIN__URL": f"s3://{s3.bucket()}",
        "MODELCAST_STORES__ORIGIN__ENDPOINT_URL": s3.endpoint_url,
        "MODELCAST_KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:1",
        "MODELCAST_KAFKA__TIMEOUT_SECONDS": "0.5",
        "MODELCAST_REDIS__URL": "redis://127.0.0.1:1/0",
        "MODELCAST_PUBLISH__BASE_CACHE_DIR": str(tmp_path / "bases"),
    }


def test_deltas_of_a_published_version_are_added_by_hand(cli: Cli, env: dict[str, str], tmp_path: Path) -> None:
    values = weights(200_000)
    for step in range(3):
        (tmp_path / "m.safetensors").write_bytes(safetensors_bytes({"w": ("BF16", bf16(values))}))
        assert cli("publish", "fraud", tmp_path / "m.safetensors", "--no-deltas", **env).code == 7
        values = adam_step(values, 1e-5, seed=step)
    ended = cli("delta", "publish", "fraud/3", "--from", "1", "-o", "json", **env)
    assert ended.code == 0, ended.err
    (offer,) = json.loads(ended.out)
    assert (offer["base_version"], offer["files"]) == (1, 1)
    assert offer["ratio"] > 5
    assert "m.safetensors: delta from 1" in ended.err
    again = cli("delta", "publish", "fraud/3", "--from", "1", **env)
    assert again.code == 0
    assert "nothing to add" in again.err


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("fraud/9",), 1, "no such version"),
        (("fraud/1", "--from", "1"), 1, "no such older version"),
        (("fraud",), 2, "which version"),
        (("fraud/1", "--from", "0"), 2, ""),
    ],
)
def test_what_makes_no_sense_is_told(
    cli: Cli, env: dict[str, str], tmp_path: Path, arguments: tuple[str, ...], code: int, said: str
) -> None:
    (tmp_path / "m").write_bytes(b"1")
    cli("publish", "fraud", tmp_path / "m", **env)
    ended = cli("delta", "publish", *arguments, **env)
    assert (ended.code, said in ended.err) == (code, True), ended.err
