"""Pods in DNS, asked of a real name server on this machine."""

import pytest

from modelcast.consumers.discovery import dns as discovery
from modelcast.consumers.discovery.dns import DnsSource
from modelcast.consumers.discovery.port import DiscoveryFailed, PodAddress
from tests.consumers.discovery.name_server import NameServer

NAME = "pods.models.example"


def source(server: NameServer, record: discovery.DnsRecord = "A", port: int | None = 8080) -> DnsSource:
    return DnsSource(NAME, record, port, nameservers=(("127.0.0.1", server.port),))


async def test_addresses_of_a_name_are_pods_and_their_ttl_says_when_to_look_again() -> None:
    async with NameServer() as server:
        server.records[NAME, "A"] = (7, ("10.0.0.2", "10.0.0.1"))
        asked = source(server)
        assert await asked.look() == (
            PodAddress("10.0.0.1:8080", "http://10.0.0.1:8080"),
            PodAddress("10.0.0.2:8080", "http://10.0.0.2:8080"),
        )
        assert asked._ttl_seconds == 7.0


async def test_addresses_may_be_of_the_other_family() -> None:
    async with NameServer() as server:
        server.records[NAME, "AAAA"] = (7, ("fd00::1",))
        assert await source(server, "AAAA").look() == (PodAddress("[fd00::1]:8080", "http://[fd00::1]:8080"),)


async def test_srv_records_name_hosts_and_ports_and_one_that_says_not_here_names_none() -> None:
    async with NameServer() as server:
        server.records[NAME, "SRV"] = (30, ("0 5 8081 b.example.", "0 5 8080 a.example.", "0 0 0 ."))
        assert await source(server, "SRV", None).look() == (
            PodAddress("a.example:8080", "http://a.example:8080"),
            PodAddress("b.example:8081", "http://b.example:8081"),
        )


@pytest.mark.parametrize(("ttl", "seconds"), [(0, 1.0), (86_400, discovery.TTL_SECONDS_MAX)])
async def test_a_ttl_of_nothing_or_of_a_day_is_bounded(ttl: int, seconds: float) -> None:
    async with NameServer() as server:
        server.records[NAME, "A"] = (ttl, ("10.0.0.1",))
        asked = source(server)
        await asked.look()
        assert asked._ttl_seconds == seconds


async def test_a_name_without_such_records_has_no_pods_and_is_asked_again_soon() -> None:
    async with NameServer() as server:
        server.records[NAME, "A"] = (7, ())
        asked = source(server)
        assert await asked.look() == ()
        assert asked._ttl_seconds <= discovery.NONE_SECONDS_MAX


async def test_more_addresses_than_a_datagram_holds_come_whole() -> None:
    async with NameServer() as server:
        server.records[NAME, "A"] = (7, tuple(f"10.0.1.{n}" for n in range(100)))
        assert len(await source(server).look()) == 100


async def test_an_unknown_name_a_server_that_fails_and_one_that_is_silent_are_failed_looks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(discovery, "LIFETIME_SECONDS", 0.3)
    async with NameServer() as server:
        with pytest.raises(DiscoveryFailed, match=rf"A {NAME}: DNS knows no such name"):
            await source(server).look()
        server.failing = True
        with pytest.raises(DiscoveryFailed, match="DNS does not answer"):
            await source(server).look()
        server.failing, server.silent = False, True
        with pytest.raises(DiscoveryFailed, match="DNS does not answer"):
            await source(server).look()
