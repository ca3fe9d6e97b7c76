"""The stack as a context manager: what it starts ends with it, and with its process."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from modelcast.infra.local.errors import ServerFailed
from modelcast.infra.local.layout import Daemon, modelcast_daemons
from modelcast.infra.local.ports import free_ports
from modelcast.infra.local.scratch import scratch_dir
from modelcast.infra.local.servers.kafka import cluster_at
from modelcast.infra.local.stack import LocalStack
from modelcast.infra.local.state import MARK, marked

DEMO = """
import time
from modelcast.infra.local.scratch import scratch_dir
from modelcast.infra.local.stack import LocalStack
with scratch_dir() as folder, LocalStack.start(folder, regions=("eu",), pods_per_region=1, daemons=()):
    print("up", flush=True)
    time.sleep(60)
"""


@pytest.mark.soak
@pytest.mark.integration
def test_pods_are_ready_when_start_returns_and_gone_after(tmp_path: Path) -> None:
    import urllib.request

    pods = [each for each in modelcast_daemons(tmp_path, ("eu",), 1) if each.name.startswith("pod-")]
    with LocalStack.start(tmp_path, regions=("eu",), pods_per_region=1, daemons=pods) as stack:
        assert set(stack.services) == {"s3", "redis", "kafka", "pod-eu-0"}
        with urllib.request.urlopen(f"{pods[0].url}/v2/health/ready", timeout=5) as answer:
            assert answer.status == 200
        children = [service.child for service in stack.services.values()]
        assert stack.ready_seconds["all"] >= stack.ready_seconds["kafka"]
    assert not any(child.running for child in children)
    assert cluster_at(stack.env["MODELCAST_KAFKA__BOOTSTRAP_SERVERS"]) is None


@pytest.mark.soak
@pytest.mark.integration
def test_a_daemon_that_fails_is_named_with_its_log_and_nothing_keeps_running(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(MARK, str(tmp_path))
    broken = Daemon("pod-broken", ("run", "no-such-daemon"), free_ports(1)[0])
    with pytest.raises(ServerFailed, match=r"(?s)pod-broken: ended with code 2.*no-such-daemon"):
        LocalStack.start(tmp_path, daemons=[broken])
    deadline = time.monotonic() + 10
    while marked(tmp_path):
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.soak
@pytest.mark.integration
@pytest.mark.timeout(300)
def test_a_demo_ended_at_any_moment_leaves_no_process_and_the_next_no_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = Path(os.environ.get("MODELCAST_CACHE_DIR", Path.home() / ".cache" / "modelcast"))
    own_cache = tmp_path / "cache"
    own_cache.mkdir()
    for name in ("jars", *(path.name for path in cache.glob("kafka-*.checkpoint"))):
        if (cache / name).exists():
            (own_cache / name).symlink_to(cache / name)
    monkeypatch.setenv("MODELCAST_CACHE_DIR", str(own_cache))
    env = {**os.environ, MARK: str(tmp_path)}
    for round_number in range(5):
        number = random.choice([signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
        demo = subprocess.Popen([sys.executable, "-c", DEMO], env=env, stderr=subprocess.DEVNULL)
        delay = random.uniform(0.3, 4.0)
        time.sleep(delay)
        demo.send_signal(number)
        demo.wait(60)
        deadline = time.monotonic() + 20
        while marked(tmp_path):
            assert time.monotonic() < deadline, f"round {round_number}: {number.name} after {delay:.3f} s"
            time.sleep(0.05)
    with scratch_dir() as folder:
        left = [path for path in (own_cache / "runs").iterdir() if path.is_dir()]
        assert left == [folder]
    assert not [path for path in (own_cache / "runs").iterdir() if path.is_dir()]


def test_a_scratch_folder_in_use_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELCAST_CACHE_DIR", str(tmp_path))
    with scratch_dir() as first:
        with scratch_dir() as second:
            assert first.exists()
            assert second != first
        assert not second.exists()
    assert not first.exists()
