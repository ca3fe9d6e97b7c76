"""A publisher that is killed at every single step, and run again: exactly one entry, announced."""

import multiprocessing
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from modelcast.infra.registry.reader import RegistryReader
from modelcast.infra.settings import Settings, StoreSettings
from modelcast.infra.settings_publish import PublishSettings
from modelcast.infra.stores import open_store
from tests.producers.publish.killed import STEPS_MAX, announced, forkserver_with, publish, publish_once
from tests.support.lanes import often
from tests.support.servers.stores import S3ForTests

pytestmark = pytest.mark.integration

SMALL, LARGE = 1_000, 1_500_000


@pytest.fixture(scope="module")
def forkserver() -> multiprocessing.context.ForkServerContext:
    return forkserver_with()


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("size", "overtaken"),
    [(SMALL, True), *(pytest.param(*case, marks=pytest.mark.soak) for case in ((SMALL, False), (LARGE, True)))],
)
def test_killed_at_each_step_and_run_again_there_is_one_entry(
    s3: S3ForTests,
    aws_env: Callable[[S3ForTests], None],
    forkserver: multiprocessing.context.ForkServerContext,
    tmp_path: Path,
    size: int,
    overtaken: bool,
) -> None:
    aws_env(s3)
    path, other, bucket = tmp_path / "model", tmp_path / "other", s3.bucket()
    path.write_bytes(os.urandom(size))
    other.write_bytes(b"published meanwhile")
    killed_after_claim = 0
    for step in range(1, STEPS_MAX, often(1, 5)):
        url = f"s3://{bucket}/{step}"
        settings = Settings(
            stores={"origin": StoreSettings(url=url, endpoint_url=s3.endpoint_url)},
            publish=PublishSettings(deltas=False, allow_unknown=("*",)),
        )
        heard = tmp_path / f"heard-{step}"
        process = forkserver.Process(target=publish_once, args=(settings, s3.env, path, heard, step))
        process.start()
        process.join(240)
        assert process.exitcode in {0, -signal.SIGKILL}
        finished = process.exitcode == 0

        reader = RegistryReader(open_store(url, endpoint_url=s3.endpoint_url))
        claimed_before = bool(list(reader.store.list("registry/fraud/log/")))
        if overtaken and not finished:
            publish(settings, heard, other)
        again = publish(settings, heard, path)

        log = reader.tail("fraud").log
        ours = [u for u in log.updates.values() if u.artifact.manifest_digest == again.manifest_digest]
        if overtaken and claimed_before and not list(reader.store.list("publications/")) and len(ours) == 2:
            # Killed when all had been done, intent and all; then the same bytes are a new publication.
            assert announced(heard, ours[0])
        else:
            assert len(ours) == 1, f"step {step}: {log.event_ids}"
        assert log.head == len(ours) + (overtaken and not finished)
        assert announced(heard, ours[-1])
        assert list(reader.store.list("publications/")) == []
        killed_after_claim += claimed_before and not finished
        if finished:
            break
    else:
        pytest.fail("publishing never finished")
    assert step > 15
    assert killed_after_claim >= often(4, 1)
