"""``up`` and ``down`` survive being interrupted anywhere, and leave nothing."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from redis import Redis
from redis.exceptions import RedisError

from modelcast.infra.local.servers.kafka import cluster_at
from modelcast.infra.local.servers.s3 import client_for
from modelcast.infra.local.state import is_guard, marked, read_state, send_signal, start_time
from modelcast.infra.local.up import LOG, StackInfo, UpOptions, down, info, up
from modelcast.schemas.errors import Refused, UsageError
from modelcast.schemas.topics import TOPICS
from tests.support.waiting import until

pytestmark = pytest.mark.integration

UP = """
import sys
from pathlib import Path
from modelcast.infra.local.up import UpOptions, up
up(UpOptions(Path(sys.argv[1]), ("eu",), 1, with_daemons=False))
print("up", flush=True)
"""

DOWN = """
import sys
from pathlib import Path
from modelcast.infra.local.up import down
down(Path(sys.argv[1]), delete_data=True)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    directory = tmp_path / "stack"
    yield directory
    down(directory, delete_data=True)
    assert marked(directory) == []


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, StackInfo]]:
    """A stack, which the last test that asks for it ends, and its folder."""
    directory = tmp_path_factory.mktemp("up") / "stack"
    yield directory, up(servers_only(directory))
    down(directory, delete_data=True)


def servers_only(directory: Path) -> UpOptions:
    return UpOptions(directory, ("eu",), 1, with_daemons=False)


def stored(stack: StackInfo) -> Any:
    return client_for(stack.env["MODELCAST_STORES__ORIGIN__ENDPOINT_URL"])


def nothing_left(directory: Path) -> bool:
    return marked(directory) == [] and list(directory.parent.iterdir()) == []


def works(stack: StackInfo) -> bool:
    env = stack.env
    client_for(env["MODELCAST_STORES__ORIGIN__ENDPOINT_URL"]).head_bucket(Bucket="modelcast-eu")
    with Redis.from_url(env["MODELCAST_REDIS__URL"]) as client:
        client.ping()
    return cluster_at(env["MODELCAST_KAFKA__BOOTSTRAP_SERVERS"]) is not None


def test_up_brings_up_servers_buckets_and_topics(running: tuple[Path, StackInfo]) -> None:
    from confluent_kafka.admin import AdminClient

    _, stack = running
    assert works(stack)
    admin = AdminClient({"bootstrap.servers": stack.env["MODELCAST_KAFKA__BOOTSTRAP_SERVERS"]})
    topics = admin.list_topics(timeout=10).topics
    assert {spec.name: spec.partitions for spec in TOPICS} == {
        name: len(topic.partitions) for name, topic in topics.items() if not name.startswith("__")
    }


def test_a_second_up_finds_the_first(running: tuple[Path, StackInfo]) -> None:
    folder, first = running
    assert up(servers_only(folder)) == first == info(folder)
    assert up(UpOptions(folder)) == first, "whoever names no shape takes what is up"
    with pytest.raises(Refused, match="eu with 1 pods"):
        up(UpOptions(folder, ("eu", "us"), 1, with_daemons=False))
    assert works(first)


def test_the_state_file_is_for_its_owner_alone(running: tuple[Path, StackInfo]) -> None:
    folder, _ = running
    assert (folder / "stack.json").stat().st_mode & 0o077 == 0


def test_down_removes_every_trace(running: tuple[Path, StackInfo]) -> None:
    folder, _ = running
    assert down(folder, delete_data=True)
    assert nothing_left(folder)
    assert not down(folder, delete_data=True)


@pytest.mark.soak
def test_after_the_supervisor_was_killed_its_servers_end_and_up_starts_them_again(folder: Path) -> None:
    first = up(servers_only(folder))
    assert send_signal(first.pid, first.started, signal.SIGKILL)
    while info(folder) is not None:
        time.sleep(0.01)
    second = up(servers_only(folder))
    assert second.pid != first.pid
    assert works(second)
    assert down(folder, delete_data=True)
    assert nothing_left(folder)


@pytest.mark.soak
def test_down_after_the_supervisor_was_killed_leaves_nothing(folder: Path) -> None:
    first = up(servers_only(folder))
    assert send_signal(first.pid, first.started, signal.SIGKILL)
    assert down(folder, delete_data=True)
    assert nothing_left(folder)


@pytest.mark.soak
def test_down_ends_what_even_the_guards_did_not(folder: Path) -> None:
    first = up(servers_only(folder))
    guards = [pid for pid in marked(folder) if is_guard(pid)]
    assert len(guards) == 3
    url = first.env["MODELCAST_REDIS__URL"]
    assert Redis.from_url(url).ping()
    for pid in (*guards, first.pid):
        os.kill(pid, signal.SIGKILL)
    assert down(folder, delete_data=True)
    assert nothing_left(folder)
    with pytest.raises(RedisError):  # whose title hides the mark
        Redis.from_url(url).ping()


def test_a_recycled_process_id_is_never_signalled() -> None:
    sleeper = subprocess.Popen(["sleep", "60"])
    try:
        assert not send_signal(sleeper.pid, "another boot/123", signal.SIGKILL)
        assert not send_signal(sleeper.pid, "", signal.SIGKILL)
        assert sleeper.poll() is None
        assert send_signal(sleeper.pid, start_time(sleeper.pid), signal.SIGKILL)
    finally:
        sleeper.kill()
        sleeper.wait()


@pytest.mark.soak
@pytest.mark.timeout(400)
def test_up_interrupted_at_any_moment_is_completed_by_the_next(folder: Path) -> None:
    for round_number in range(4):
        number = random.choice([signal.SIGKILL, signal.SIGINT])
        first = subprocess.Popen([sys.executable, "-c", UP, str(folder)], stderr=subprocess.DEVNULL)
        delay = random.uniform(0.0, 3.0)
        time.sleep(delay)
        first.send_signal(number)
        first.wait(60)
        said = f"round {round_number}: {number.name} after {delay:.3f} s"
        if round_number % 2:
            assert works(up(servers_only(folder))), said
        down(folder, delete_data=True)
        assert nothing_left(folder), f"{said}: {marked(folder)}, {list(folder.parent.iterdir())}"


@pytest.mark.soak
@pytest.mark.timeout(400)
def test_down_interrupted_at_any_moment_is_completed_by_the_next(folder: Path) -> None:
    for round_number in range(3):
        up(servers_only(folder))
        number = random.choice([signal.SIGKILL, signal.SIGINT])
        first = subprocess.Popen([sys.executable, "-c", DOWN, str(folder)], stderr=subprocess.DEVNULL)
        delay = random.uniform(0.1, 1.2)
        time.sleep(delay)
        first.send_signal(number)
        first.wait(60)
        down(folder, delete_data=True)
        assert nothing_left(folder), f"round {round_number}: {number.name} after {delay:.3f} s"


@pytest.mark.soak
def test_a_server_that_dies_comes_back_where_it_was_and_the_log_says_so(folder: Path) -> None:
    stack = up(servers_only(folder))
    stored(stack).put_object(Bucket="modelcast-eu", Key="a/b", Body=b"bytes")
    for name in ("redis", "kafka", "s3"):
        os.kill(stack.services[name], signal.SIGKILL)

    def all_are_back() -> bool:
        now = read_state(folder)
        return now is not None and all(now.services[n] != stack.services[n] for n in ("redis", "kafka", "s3"))

    until(all_are_back, lambda: f"they are back: {(folder / LOG).read_text()}", 120)
    assert works(stack)
    log = (folder / LOG).read_text()
    assert "redis ended with code 137; starting it again in 1 s" in log
    assert "kafka started again" in log
    assert stored(stack).get_object(Bucket="modelcast-eu", Key="a/b")["Body"].read() == b"bytes"


def test_a_folder_with_other_things_in_it_is_refused_and_left_alone(folder: Path) -> None:
    folder.mkdir()
    (folder / "thesis.tex").write_text("years of work")
    try:
        with pytest.raises(Refused, match="something else"):
            up(servers_only(folder))
        with pytest.raises(Refused, match="something else"):
            down(folder, delete_data=True)
        assert (folder / "thesis.tex").read_text() == "years of work"
    finally:
        (folder / "thesis.tex").unlink()


@pytest.mark.soak
def test_data_stays_and_the_next_up_goes_on_with_it_until_it_is_deleted(folder: Path) -> None:
    first = up(servers_only(folder))
    stored(first).put_object(Bucket="modelcast-origin", Key="registry/x/log/1", Body=b"entry", Metadata={"who": "me"})
    before = stored(first).head_object(Bucket="modelcast-origin", Key="registry/x/log/1")
    cluster = cluster_at(first.env["MODELCAST_KAFKA__BOOTSTRAP_SERVERS"])
    assert down(folder)
    assert (folder / LOG).exists()
    assert marked(folder) == []
    assert not down(folder), "nothing is up any more"
    second = up(servers_only(folder))
    assert works(second)
    assert cluster_at(second.env["MODELCAST_KAFKA__BOOTSTRAP_SERVERS"]) == cluster
    after = stored(second).get_object(Bucket="modelcast-origin", Key="registry/x/log/1")
    assert after["Body"].read() == b"entry"
    for fact in ("ETag", "LastModified", "Metadata", "ContentType"):
        assert after[fact] == before[fact], fact
    with pytest.raises(ClientError, match="PreconditionFailed"):
        stored(second).put_object(Bucket="modelcast-origin", Key="registry/x/log/1", Body=b"other", IfNoneMatch="*")
    assert down(folder, delete_data=True)
    assert nothing_left(folder)


def test_a_shape_that_makes_no_sense_starts_nothing(folder: Path) -> None:
    with pytest.raises(UsageError):
        up(UpOptions(folder, ("eu",), 0))
    assert not folder.exists()


def test_down_where_nothing_ever_was_makes_no_folder(folder: Path) -> None:
    assert not down(folder / "never" / "was")
    assert not folder.exists()
