"""How much memory a load may take."""

import subprocess
import sys
from pathlib import Path

from modelcast.consumers.pod.memory_room import (
    MIB,
    MemoryRoom,
    group_left,
    groups_named,
    machine_limits,
    private_bytes,
    refusal,
    room,
)

MACHINE = MemoryRoom(1000 * MIB, "memory available on the machine")
GROUP = MemoryRoom(900 * MIB, "memory left in the control group")


def test_the_tightest_limit_counts() -> None:
    assert room(None, 500 * MIB, 0, [MACHINE, GROUP]) == GROUP
    assert room(800 * MIB, 500 * MIB, 0, [MACHINE]) == MemoryRoom(300 * MIB, "of the pod's 800 MiB, 500 MiB are in use")
    assert room(5000 * MIB, 500 * MIB, 0, [MACHINE]) == MACHINE


def test_what_other_loads_were_promised_is_not_free() -> None:
    assert room(None, 0, 400 * MIB, [MACHINE]).free_bytes == 600 * MIB
    assert room(800 * MIB, 100 * MIB, 400 * MIB, [MACHINE]).free_bytes == 300 * MIB


def test_a_load_that_does_not_fit_is_refused_with_numbers() -> None:
    assert refusal(900 * MIB, GROUP) == ""
    assert refusal(901 * MIB, GROUP) == (
        "it needs at least 901 MiB, 900 MiB are free: memory left in the control group"
    )
    assert "0 MiB are free" in refusal(1, MemoryRoom(-5, "nothing"))


def test_the_machine_says_what_it_has() -> None:
    assert all(limit.free_bytes > MIB for limit in machine_limits())
    assert private_bytes(2**30) == 0


def test_a_limited_process_gets_no_more() -> None:
    program = (
        "from modelcast.consumers.pod.memory_room import MIB, limit_data\n"
        "limit_data(100 * MIB)\n"
        "kept = bytearray(50 * MIB)\n"
        "try:\n    bytearray(200 * MIB)\n"
        "except MemoryError:\n    limit_data(None)\n    print(len(bytearray(200 * MIB)))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(200 * MIB)


def test_the_control_groups_above_a_process_count_as_its_own() -> None:
    mount, its_root = Path("/sys/fs/cgroup"), Path("/proc/7/root")
    named = groups_named("12:memory:/old\n0::/system.slice/pod.service\n", its_root)
    assert named == [mount / "system.slice/pod.service", mount / "system.slice", mount]
    assert groups_named("0::/\n", its_root) == [mount]
    assert groups_named("0::/../other-container\n", its_root) == [its_root / "sys/fs/cgroup"]


def test_caches_that_a_control_group_can_drop_count_as_left(tmp_path: Path) -> None:
    (tmp_path / "memory.max").write_text("1000\n")
    (tmp_path / "memory.current").write_text("900\n")
    (tmp_path / "memory.stat").write_text("anon 500\ninactive_file 300\nslab_reclaimable 50\n")
    assert group_left(tmp_path) == 450
    (tmp_path / "memory.max").write_text("max\n")
    assert group_left(tmp_path) is None
    assert group_left(tmp_path / "none") is None
