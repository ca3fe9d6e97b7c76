"""What a worker shares of the long link: settings say how much, and may be read again while it runs."""

import asyncio
import os
import signal
from pathlib import Path

import pytest

from modelcast.agents.region.disk import Disk
from modelcast.agents.region.long_link import long_link, reload_limit
from modelcast.consumers.fetch import ArtifactCache
from modelcast.infra.settings import RegionSettings, Settings
from modelcast.infra.stores import MemoryStore


@pytest.fixture
def settings_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in [name for name in os.environ if name.startswith("MODELCAST_REGIONS")]:
        monkeypatch.delenv(name)
    path = tmp_path / "modelcast.toml"
    monkeypatch.setenv("MODELCAST_CONFIG", str(path))
    return path


def test_settings_say_how_the_link_is_used(tmp_path: Path) -> None:
    here = RegionSettings(bandwidth_bytes_per_second=1000, fetch_threads=7)
    link = long_link(here, MemoryStore(), ArtifactCache(tmp_path))
    assert (link.rate_limit.limit_bytes_per_second, link.readers) == (1000, 7)
    assert link.leases is not None


def test_the_limit_is_read_again(tmp_path: Path, settings_file: Path) -> None:
    link = long_link(RegionSettings(bandwidth_bytes_per_second=1000), MemoryStore(), ArtifactCache(tmp_path))
    settings_file.write_text("[regions.eu]\nbandwidth_bytes_per_second = 2000\n")
    reload_limit(link, "eu")
    assert link.rate_limit.limit_bytes_per_second == 2000
    settings_file.write_text("[regions.eu]\n")
    reload_limit(link, "eu")
    assert link.rate_limit.limit_bytes_per_second is None


def test_what_is_believed_of_the_link_follows_the_limit(tmp_path: Path, settings_file: Path) -> None:
    settings_file.write_text("[regions.eu]\nbandwidth_bytes_per_second = 9000000\n")
    here, store, cache = RegionSettings(bandwidth_bytes_per_second=9_000_000), MemoryStore(), ArtifactCache(tmp_path)
    link = long_link(here, store, cache)
    disk = Disk(Settings(), store, cache, frozenset, link=link)
    throughput = link.throughput
    with throughput.over_the_link(lambda: 1 << 40):  # as fast as the limit lets it
        pass
    assert disk.origin_bytes_per_second == 9_000_000
    settings_file.write_text("[regions.eu]\nbandwidth_bytes_per_second = 1000000\n")
    reload_limit(link, "eu")
    assert disk.origin_bytes_per_second == throughput.speeds().origin_bytes_per_second == 1_000_000


@pytest.mark.parametrize("text", ["[regions.eu]\nbandwidth_bytes_per_second = -1\n", "[[[", "[regions.us]\n"])
def test_wrong_settings_change_nothing(tmp_path: Path, settings_file: Path, text: str) -> None:
    link = long_link(RegionSettings(bandwidth_bytes_per_second=1000), MemoryStore(), ArtifactCache(tmp_path))
    settings_file.write_text(text)
    reload_limit(link, "eu")
    assert link.rate_limit.limit_bytes_per_second == 1000


async def test_a_hangup_is_how_it_is_asked_for(tmp_path: Path, settings_file: Path) -> None:
    link = long_link(RegionSettings(), MemoryStore(), ArtifactCache(tmp_path))
    settings_file.write_text("[regions.eu]\nbandwidth_bytes_per_second = 2000\n")
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGHUP, reload_limit, link, "eu")
    try:
        os.kill(os.getpid(), signal.SIGHUP)
        async with asyncio.timeout(60):
            while link.rate_limit.limit_bytes_per_second != 2000:
                await asyncio.sleep(0.01)
    finally:
        loop.remove_signal_handler(signal.SIGHUP)


def test_two_caches_have_names_of_their_own_that_last(tmp_path: Path) -> None:
    first, second = ArtifactCache(tmp_path / "1"), ArtifactCache(tmp_path / "2")
    assert first.identity == ArtifactCache(tmp_path / "1").identity != second.identity
    assert list((tmp_path / "1" / "trash").iterdir()) == []
