"""Temporary folders beside the bases: whose owner lives stay, the others go."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from modelcast.deltas.publish.bases.cache import BaseCache
from modelcast.deltas.publish.bases.scratch import Scratch
from modelcast.infra.files import locks as file_lock
from modelcast.infra.settings_publish import PublishSettings

HOLDER = """
import sys, time
from pathlib import Path
from modelcast.deltas.publish.bases.scratch import Scratch
with Scratch(Path(sys.argv[1])).new() as made:
    (made / "delta").write_bytes(bytes(1000))
    print(made, flush=True)
    time.sleep(600)
"""


def test_what_a_killed_publisher_left_is_gone_when_the_next_one_starts(tmp_path: Path) -> None:
    folder = tmp_path / "bases" / "scratch"
    other = subprocess.Popen([sys.executable, "-c", HOLDER, str(folder)], stdout=subprocess.PIPE, text=True)
    try:
        assert other.stdout is not None
        made = Path(other.stdout.readline().strip())
        age(made, 90_000)
        BaseCache(PublishSettings(base_cache_dir=tmp_path / "bases"))
        assert (made / "delta").exists()  # its owner lives, however long it takes
        other.send_signal(signal.SIGKILL)
        other.wait(60)
        assert made.exists()
        BaseCache(PublishSettings(base_cache_dir=tmp_path / "bases"))
        assert list(folder.iterdir()) == []
    finally:
        other.kill()
        other.wait(60)
        if other.stdout:
            other.stdout.close()


def test_folders_of_other_machines_go_after_a_day(tmp_path: Path) -> None:
    for name, seconds in (("another-old", 90_000), ("another-young", 100), ("17-before", 90_000)):
        (tmp_path / name).mkdir()
        age(tmp_path / name, seconds)
    Scratch(tmp_path).sweep()
    assert [p.name for p in tmp_path.iterdir()] == ["another-young"]


def test_where_nothing_can_be_locked_only_age_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise OSError("no locks available")

    monkeypatch.setattr(file_lock.fcntl, "flock", refused)
    with Scratch(tmp_path).new() as made:
        (made / "x").write_bytes(b"x")
        monkeypatch.undo()
        Scratch(tmp_path).sweep()
        assert [p.name for p in tmp_path.iterdir()] == [made.name]
        assert (made / "x").exists()
    assert list(tmp_path.iterdir()) == []


def test_nobody_s_folder_is_swept_while_others_make_theirs(tmp_path: Path) -> None:
    done = threading.Event()
    lost: list[Path] = []

    def make() -> None:
        for _ in range(200):
            with Scratch(tmp_path).new() as made:
                if made.parent != tmp_path or not made.exists():
                    lost.append(made)

    def sweep() -> None:
        while not done.is_set():
            Scratch(tmp_path).sweep()

    makers = [threading.Thread(target=make) for _ in range(4)]
    sweeper = threading.Thread(target=sweep)
    for thread in (sweeper, *makers):
        thread.start()
    for thread in makers:
        thread.join()
    done.set()
    sweeper.join()
    assert lost == []
    assert list(tmp_path.iterdir()) == []


def age(path: Path, seconds: float) -> None:
    os.utime(path, (time.time() - seconds, time.time() - seconds))
