"""Whether large files are written past the page cache is for the disk to say, and it is asked once."""

import errno
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from modelcast.consumers.fetch import ArtifactCache, Fetcher
from modelcast.consumers.fetch.transfer import disks as disks_module
from modelcast.consumers.fetch.transfer.disks import (
    THERE_AND_BACK_MIN_BYTES_PER_SECOND,
    TRIAL_BLOCKS,
    DiskRates,
    Disks,
    direct_pays,
    measured,
)
from modelcast.consumers.fetch.transfer.link import Link
from modelcast.consumers.fetch.transfer.target import DIRECT_FROM_BYTES
from modelcast.infra.stores import MemoryStore
from tests.consumers.fetch.publishing import MIB, cached, noise, publish

FAST, SLOW = DiskRates(8e9, 8e9), DiskRates(2e8, 2e8)


class Probe:
    """A disk of given rates, or one that fails; counts how often it is asked."""

    def __init__(self, *answers: DiskRates | OSError) -> None:
        self.asked = 0
        self._answers = answers

    def __call__(self, folder: Path) -> DiskRates:
        answer = self._answers[min(self.asked, len(self._answers) - 1)]
        self.asked += 1
        if isinstance(answer, OSError):
            raise answer
        return answer


def test_bytes_that_go_there_and_back_need_both_times() -> None:
    assert DiskRates(3e9, 6e9).there_and_back_bytes_per_second == pytest.approx(2e9)


@pytest.mark.parametrize(("factor", "pays"), [(1.001, True), (0.999, False)])
def test_it_pays_from_the_threshold_on(factor: float, pays: bool) -> None:
    each_way = 2 * THERE_AND_BACK_MIN_BYTES_PER_SECOND * factor
    assert direct_pays(DiskRates(each_way, each_way)) is pays


def test_a_disk_that_is_fast_one_way_only_is_slow() -> None:
    assert not direct_pays(DiskRates(1e12, 2e8))
    assert not direct_pays(DiskRates(2e8, 1e12))


def test_a_real_disk_is_measured_or_refuses_and_nothing_is_left(tmp_path: Path) -> None:
    try:
        rates = measured(tmp_path)
    except OSError:
        assert not Disks().writes_direct(tmp_path)
    else:
        assert rates.write_bytes_per_second > 0
        assert rates.read_bytes_per_second > 0
        assert Disks().writes_direct(tmp_path) in (True, False)
    assert list(tmp_path.iterdir()) == []


def test_a_slow_disk_is_not_kept_busy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock on which every look takes a second: one block there, the same one back."""
    moved: list[int] = []
    monkeypatch.setattr(os, "open", lambda *_: os.memfd_create("probe"))
    monkeypatch.setattr(os, "pwrite", lambda fd, block, at: moved.append(at) or len(block))
    monkeypatch.setattr(os, "preadv", lambda fd, blocks, at: moved.append(at) or len(blocks[0]))
    ticks = count()
    rates = measured(tmp_path, lambda: float(next(ticks)))
    assert moved == [0, 0]
    assert rates == DiskRates(MIB, MIB)


def test_blocks_that_had_to_wait_say_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]

    def moves(_fd: int, block: memoryview | list[memoryview], at: int) -> int:
        now[0] += 0.001 if at == 2 * MIB else 0.01
        return MIB

    monkeypatch.setattr(os, "open", lambda *_: os.memfd_create("probe"))
    monkeypatch.setattr(os, "pwrite", moves)
    monkeypatch.setattr(os, "preadv", moves)
    rates = measured(tmp_path, lambda: now[0])
    assert rates.write_bytes_per_second == pytest.approx(MIB / 0.001)
    assert rates.read_bytes_per_second == pytest.approx(MIB / 0.001)


def test_a_disk_that_is_nearly_full_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disks_module, "TRIAL_FREE_MIN_BYTES", 2**62)
    with pytest.raises(OSError, match="too little room") as refused:
        measured(tmp_path)
    assert refused.value.errno == errno.ENOSPC


def test_measuring_takes_less_than_is_left_free_when_room_is_reserved() -> None:
    from modelcast.consumers.fetch.cache.artifact_cache import DISK_FREE_MIN_BYTES

    assert TRIAL_BLOCKS * MIB < DISK_FREE_MIN_BYTES


@pytest.mark.parametrize(("rates", "direct"), [(FAST, True), (SLOW, False)])
def test_a_disk_is_measured_once_though_many_ask_at_once(tmp_path: Path, rates: DiskRates, direct: bool) -> None:
    together, probe = threading.Barrier(8), Probe(rates)
    disks = Disks(probe)

    def ask(number: int) -> bool:
        folder = tmp_path / str(number)
        folder.mkdir()
        together.wait(60)
        return disks.writes_direct(folder)

    with capture_logs() as logs, ThreadPoolExecutor(8) as pool:
        assert set(pool.map(ask, range(8))) == {direct}
    assert probe.asked == 1
    assert [log["direct_writes"] for log in logs] == [direct]
    assert logs[0]["read_bytes_per_second"] == rates.read_bytes_per_second


@pytest.mark.parametrize("code", [errno.EINVAL, errno.EOPNOTSUPP, errno.EISDIR, errno.EIO])
def test_a_disk_that_can_not_be_measured_is_written_through_the_cache_for_good(tmp_path: Path, code: int) -> None:
    probe = Probe(OSError(code, "refused"), FAST)
    disks = Disks(probe)
    with capture_logs() as logs:
        assert [disks.writes_direct(tmp_path) for _ in range(3)] == [False, False, False]
    assert probe.asked == 1
    assert len(logs) == 1


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_measured_once_it_has_room(tmp_path: Path, code: int) -> None:
    disks = Disks(Probe(OSError(code, "full"), FAST))
    assert [disks.writes_direct(tmp_path) for _ in range(3)] == [False, True, True]


def test_a_folder_that_vanished_is_nobodys_disk(tmp_path: Path) -> None:
    probe = Probe(FAST)
    assert not Disks(probe).writes_direct(tmp_path / "gone")
    assert probe.asked == 0


def test_small_files_are_no_reason_to_measure(tmp_path: Path) -> None:
    probe = Probe(FAST)
    link = Link(direct_writes=Disks(probe))
    assert not link.writes_direct(tmp_path / "file", DIRECT_FROM_BYTES - 1)
    assert probe.asked == 0
    assert link.writes_direct(tmp_path / "file", DIRECT_FROM_BYTES)


@pytest.mark.parametrize("probe", [Probe(FAST), Probe(SLOW), Probe(OSError(errno.EINVAL, "refused"))])
def test_a_fetch_brings_the_same_whatever_the_disk_says(tmp_path: Path, probe: Probe) -> None:
    origin, cache = MemoryStore(), ArtifactCache(tmp_path)
    manifest = publish(origin, {"large": noise(20 * MIB + 12345, 1), "larger": noise(33 * MIB, 2), "small": b"x"})
    Fetcher(origin, None, cache, Link(direct_writes=Disks(probe))).fetch(manifest.digest)
    assert cached(cache, manifest)["large"] == noise(20 * MIB + 12345, 1)
    assert probe.asked == 1


def test_a_small_disk_in_memory_is_never_filled_by_measuring_it(on_small_disk: Callable[[str], str]) -> None:
    assert on_small_disk("measured_disk_scenario.py") == "fetched\nleft alone\nasked again\n"
