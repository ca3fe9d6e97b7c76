"""Beside another server, a load for which there is no room is refused with numbers before anything is placed."""

import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from modelcast.consumers.artifacts.sources import FolderArtifacts
from modelcast.consumers.companion.kinds import ServerSettings, make_engine
from modelcast.consumers.companion.server_memory import ServerMemory, tightest
from modelcast.consumers.companion.server_processes import listening, server_pids, with_children
from modelcast.consumers.pod.memory_room import MIB, MemoryRoom
from modelcast.consumers.pod_clients.port import LoadFailed
from modelcast.schemas.errors import UsageError
from tests.consumers.pod.models import Artifact, order

MACHINE = MemoryRoom(900 * MIB, "memory available on the machine")
TABLE = """  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 111 1 0 100 0 0 10 0
   1: 0100007F:1F90 0100007F:C350 01 00000000:00000000 00:00000000 00000000     0        0 222 1 0 20 4 30 10 -1
   2: 00000000:1F91 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 333 1 0 100 0 0 10 0
"""
SERVER = """
import socket, subprocess, sys, time
kept = bytearray(b"x") * (60 * 1024 * 1024)
if sys.argv[1:]:
    print("holds it", flush=True)
    time.sleep(600)
child = subprocess.Popen([sys.executable, __file__, "child"], stdout=subprocess.PIPE)
child.stdout.readline()
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], child.pid, flush=True)
time.sleep(600)
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[int, set[int]]]:
    """A server of two processes that take 60 MiB each: its port, and their ids."""
    file = tmp_path / "server.py"
    file.write_text(SERVER)
    process = subprocess.Popen([sys.executable, str(file)], stdout=subprocess.PIPE, text=True, process_group=0)
    assert process.stdout is not None
    port, child = map(int, process.stdout.readline().split())
    yield port, {process.pid, child}
    subprocess.run(["kill", "-9", str(child), str(process.pid)], check=True)
    process.wait(10)


def test_only_sockets_that_listen_at_the_port_count() -> None:
    assert listening(TABLE, 8080) == {"111"}
    assert listening(TABLE, 8081) == {"333"}
    assert listening("", 8080) == set()


def test_workers_of_workers_belong_to_the_server() -> None:
    assert with_children({1}, {2: 1, 3: 2, 4: 9, 1: 0}) == {1, 2, 3}


def test_what_the_server_may_take_counts_where_its_processes_are_seen_and_where_they_are_not() -> None:
    limit = 1000 * MIB
    seen = tightest(limit, 700 * MIB, [MACHINE])
    assert seen == MemoryRoom(300 * MIB, "of the server's 1,000 MiB, 700 MiB are in use")
    assert tightest(None, None, [MACHINE]) == MACHINE
    unseen = tightest(800 * MIB, None, [MACHINE])
    assert (unseen.free_bytes, "can't be seen" in unseen.why) == (800 * MIB, True)


def test_all_processes_of_a_server_are_found_by_its_port(server: tuple[int, set[int]]) -> None:
    port, pids = server
    assert server_pids(port) == pids


def test_a_load_for_which_there_is_no_room_is_refused_with_numbers(server: tuple[int, set[int]]) -> None:
    port, _ = server
    ServerMemory(port).check("fraud", 1)
    ServerMemory(port, 4000 * MIB).check("fraud", 100 * MIB)
    with pytest.raises(
        LoadFailed, match=r"needs at least 100 MiB, [\d,]+ MiB are free: of the server's 200 MiB"
    ) as caught:
        ServerMemory(port, 200 * MIB).check("fraud", 100 * MIB)
    assert (caught.value.code, caught.value.subject) == ("out_of_resources", "fraud")
    assert "--no-memory-check" in caught.value.hint
    with pytest.raises(LoadFailed, match="memory available on the machine"):
        ServerMemory(port).check("fraud", 1 << 60)


@pytest.mark.parametrize("checks", [True, False])
async def test_nothing_is_placed_of_what_does_not_fit(
    checks: bool, server: tuple[int, set[int]], tmp_path: Path
) -> None:
    large = Artifact({"model.joblib": bytes(3 * MIB)})
    large.put(tmp_path / "cache")
    settings = ServerSettings(
        "mlserver",
        f"http://127.0.0.1:{server[0]}",
        tmp_path / "models",
        memory_check=checks,
        memory_max_bytes=100 * MIB if checks else None,
    )
    engine = make_engine(settings, partial(FolderArtifacts, tmp_path / "cache"))
    if checks:
        with pytest.raises(LoadFailed, match="needs at least 3 MiB, 0 MiB are free"):
            await engine.prepare(order(large, 1))
    else:
        await engine.prepare(order(large, 1))
    assert (tmp_path / "models/adder/1").exists() is not checks
    await engine.aclose()


@pytest.mark.parametrize(
    "settings",
    [
        ServerSettings("vllm", "http://127.0.0.1:8080", memory_max_bytes=1),
        ServerSettings("triton", "grpc://10.0.0.1:8001", memory_max_bytes=1),
        ServerSettings("triton", "grpc://127.0.0.1:8001", memory_max_bytes=1, memory_check=False),
    ],
    ids=["a kind of unknown use", "another machine", "not checked"],
)
def test_a_bound_that_nothing_would_check_is_refused(settings: ServerSettings, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="how it uses its memory is not known"):
        make_engine(settings, partial(FolderArtifacts, tmp_path))
