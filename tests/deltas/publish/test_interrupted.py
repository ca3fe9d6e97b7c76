"""A publisher that is killed at every step about its deltas, and run again: they are all there."""

import multiprocessing
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from modelcast.infra.registry.reader import RegistryReader
from modelcast.infra.settings import Settings, StoreSettings
from modelcast.infra.settings_publish import PublishSettings
from modelcast.infra.stores import open_store
from modelcast.schemas import keys
from modelcast.schemas.digests import sha256_of
from tests.producers.publish.killed import STEPS_MAX, forkserver_with, publish, publish_once
from tests.support.records.pairs import adam_step, bf16, safetensors_bytes, weights
from tests.support.servers.stores import S3ForTests

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def forkserver() -> multiprocessing.context.ForkServerContext:
    return forkserver_with("modelcast.deltas.publish.publication")


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_killed_at_each_step_of_its_deltas_and_run_again_they_are_all_there(
    s3: S3ForTests,
    aws_env: Callable[[S3ForTests], None],
    forkserver: multiprocessing.context.ForkServerContext,
    tmp_path: Path,
) -> None:
    aws_env(s3)
    path, bucket, values = tmp_path / "model.safetensors", s3.bucket(), weights(200_000)
    first = safetensors_bytes({"w": ("BF16", bf16(values))})
    second = safetensors_bytes({"w": ("BF16", bf16(adam_step(values, 1e-5)))})
    killed = 0
    for step in range(1, STEPS_MAX):
        settings = Settings(
            stores={"origin": StoreSettings(url=f"s3://{bucket}/{step}", endpoint_url=s3.endpoint_url)},
            publish=PublishSettings(base_cache_dir=tmp_path / f"bases-{step}", allow_unknown=("*",)),
        )
        heard = tmp_path / f"heard-{step}"
        path.write_bytes(first)
        publish(settings, heard, path)
        path.write_bytes(second)
        process = forkserver.Process(target=publish_once, args=(settings, s3.env, path, heard, step, "deltas/"))
        process.start()
        process.join(240)
        assert process.exitcode in {0, -signal.SIGKILL}
        killed += process.exitcode != 0

        again = publish(settings, heard, path)
        store = open_store(settings.store("origin").url, endpoint_url=s3.endpoint_url)
        assert RegistryReader(store).tail("fraud").log.head == 2
        there = {keys.parse_delta(info.key) for info in store.list(keys.delta_prefix(again.manifest_digest))}
        new, old = sha256_of(second), sha256_of(first)
        assert there == {(again.manifest_digest, new, old), (again.manifest_digest, new, None)}
        if process.exitcode == 0:
            break
    assert killed >= 5
