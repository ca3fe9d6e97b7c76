"""A publisher that is killed at every single step, and run again: exactly one entry, announced."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from modelcast.infra.registry.reader import RegistryReader
from modelcast.infra.settings import PublishSettings, Settings, StoreSettings
from modelcast.infra.stores import open_store
from modelcast.producers import Publication, Publisher
from modelcast.schemas import keys
from modelcast.schemas.codec import decode
from modelcast.schemas.digests import sha256_of
from modelcast.schemas.ports import Announcer
from modelcast.schemas.records import ModelUpdate
from tests.deltas.codec.pairs import adam_step, bf16, safetensors_bytes, weights
from tests.producers.fakes import HookedStore
from tests.support.servers import S3ForTests

pytestmark = pytest.mark.integration

SMALL, LARGE = 1_000, 1_500_000
STEPS_MAX = 60


class FileAnnouncer(Announcer):
    """Writes what it is told to a file, which survives the process."""

    def __init__(self, path: Path, before: Callable[[], None], after: Callable[[], None]) -> None:
        self.path, self.before, self.after = path, before, after

    def announce(self, topic: str, key: str, value: bytes, *, timeout_seconds: float) -> None:
        self.before()
        with self.path.open("a") as out:
            out.write(value.hex() + "\n")
        self.after()

    def close(self) -> None:
        """Nothing to let go of."""


class KillAt:
    """Ends the process at the n-th step about keys so begun; each call has one before and one after it happened."""

    def __init__(self, step: int, about: str = "") -> None:
        self.step, self.about, self.count, self.lock = step, about, 0, threading.Lock()

    def __call__(self, _call: str = "", key: str = "") -> None:
        if not key.startswith(self.about):
            return
        with self.lock:
            self.count += 1
            if self.count == self.step:
                os.kill(os.getpid(), signal.SIGKILL)


def publish_once(settings: Settings, env: dict[str, str], path: Path, heard: Path, step: int, about: str = "") -> None:
    """Runs in a process of its own."""
    os.environ.update(env)
    kill = KillAt(step, about)
    origin = settings.store("origin")
    store = HookedStore(open_store(origin.url, endpoint_url=origin.endpoint_url), before=kill, after=kill)
    with Publisher(settings, store=store, announcer=FileAnnouncer(heard, kill, kill)) as publisher:
        publisher.publish("fraud", path)


@pytest.fixture(scope="module")
def forkserver() -> multiprocessing.context.ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        ["tests.producers.test_interrupted", "boto3", "modelcast.deltas.publish.publication"]
    )
    return context


def publish(settings: Settings, heard: Path, path: Path) -> Publication:
    def nothing() -> None: ...

    with Publisher(settings, announcer=FileAnnouncer(heard, nothing, nothing)) as publisher:
        return publisher.publish("fraud", path)


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
    for step in range(1, STEPS_MAX):
        url = f"s3://{bucket}/{step}"
        settings = Settings(
            stores={"origin": StoreSettings(url=url, endpoint_url=s3.endpoint_url)},
            publish=PublishSettings(deltas=False),
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
            assert _announced(heard, ours[0])
        else:
            assert len(ours) == 1, f"step {step}: {log.event_ids}"
        assert log.head == len(ours) + (overtaken and not finished)
        assert _announced(heard, ours[-1])
        assert list(reader.store.list("publications/")) == []
        killed_after_claim += claimed_before and not finished
        if finished:
            break
    else:
        pytest.fail("publishing never finished")
    assert step > 15
    assert killed_after_claim >= 4


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
            publish=PublishSettings(base_cache_dir=tmp_path / f"bases-{step}"),
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


def _announced(heard: Path, update: ModelUpdate) -> bool:
    return any(decode(bytes.fromhex(line)) == update for line in heard.read_text().splitlines())
