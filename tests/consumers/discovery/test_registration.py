"""Pods that register themselves: who has a name, when a registration ends, and whose clock tells."""

import asyncio
from collections.abc import Iterator

import pytest

from modelcast.consumers.discovery.decider.merging import FleetView
from modelcast.consumers.discovery.port import DiscoveryFailed, PodAddress
from modelcast.consumers.discovery.registrar import NameTaken, Registrar
from modelcast.consumers.discovery.registration import EXPIRY_SECONDS, FORGET_SECONDS, Registration, StoreClock
from modelcast.consumers.discovery.registration_source import RegistrationSource
from modelcast.consumers.discovery.watching import FleetWatch
from modelcast.infra.stores.memory_store import MemoryStore
from modelcast.schemas import keys
from modelcast.schemas.errors import StoreUnavailable
from modelcast.schemas.ports import ObjectInfo
from tests.support.waiting import until_async

WRONG = 7e8
"""Seconds by which the store's clock is off from every other."""


class Clock:
    """The store's, and the one of those who ask it; both go as the test says."""

    def __init__(self) -> None:
        self.now = 100.0
        self.store = MemoryStore(now_us=lambda: int((self.now + WRONG) * 1e6))
        self.source = RegistrationSource(self.store, clock=lambda: self.now)

    def after(self, seconds: float) -> "Clock":
        self.now += seconds
        return self

    def registration(self, name: str = "a", url: str = "http://a:1", incarnation: str = "i") -> Registrar:
        return Registrar(self.store, Registration(name, url, incarnation))

    @property
    def pods(self) -> tuple[PodAddress, ...]:
        return self.source._look()


def test_a_registered_pod_is_found_as_long_as_it_renews() -> None:
    clock = Clock()
    ours = clock.registration()
    for _ in range(10):
        ours.renew(clock.now)
        assert clock.pods == (PodAddress("a", "http://a:1", "i"),)
        clock.after(5.0)
    for _ in range(3):
        assert clock.pods != ()
        clock.after(5.0)
    assert clock.pods == ()


def test_a_registered_pod_stands_in_the_zone_that_it_names() -> None:
    clock = Clock()
    Registrar(clock.store, Registration("a", "http://a:1", "i", "eu-1a")).renew(clock.now)
    assert [pod.zone for pod in clock.pods] == ["eu-1a"]


def test_a_registration_that_ended_before_anyone_looked_is_no_pod_where_another_has_shown_the_time() -> None:
    clock = Clock()
    clock.registration("dead", "http://dead:1").renew(clock.now)
    clock.after(EXPIRY_SECONDS + 1.0)
    clock.registration().renew(clock.now)
    assert [pod.name for pod in clock.pods] == ["a"]


def test_the_stores_clock_as_known_here_is_never_ahead_of_it() -> None:
    known = StoreClock().seen([int(50e6)], now=10.0)
    assert known.age_seconds(int(50e6), 10.0) == 0.0
    known = known.seen([int(50e6)], now=30.0)  # nothing new: twenty seconds have passed here, and there
    assert known.age_seconds(int(50e6), 30.0) == 20.0
    known = known.seen([int(75e6)], now=31.0)  # it is later there than could be known
    assert known.age_seconds(int(50e6), 31.0) == 25.0


def test_a_pod_that_ends_takes_its_registration_along_and_says_nothing_afterwards() -> None:
    clock = Clock()
    ours = clock.registration()
    ours.renew(clock.now)
    ours.release()
    ours.renew(clock.now)
    assert clock.pods == ()
    assert clock.store.head(keys.pod_registration("a")) is None


def test_a_pod_that_restarts_in_its_place_has_its_name_at_once_and_is_another_pod() -> None:
    clock = Clock()
    clock.registration(incarnation="1").renew(clock.now)
    before = clock.pods
    clock.registration(incarnation="2").renew(clock.now)
    assert (before[0].identity, clock.pods[0].identity) == ("1", "2")


def test_two_pods_of_one_name_the_second_is_told_so_and_has_the_name_once_the_first_has_ended() -> None:
    clock = Clock()
    first, second = clock.registration(), clock.registration(url="http://b:1", incarnation="j")
    first.renew(clock.now)
    for _ in range(6):
        with pytest.raises(NameTaken, match="a: a pod at http://a:1 is registered by that name"):
            second.renew(clock.now)
        first.renew(clock.after(5.0).now)
    assert clock.pods[0].url == "http://a:1"
    with pytest.raises(NameTaken):
        second.renew(clock.now)
    second.renew(clock.after(EXPIRY_SECONDS + 1.0).now)
    assert clock.pods[0].url == "http://b:1"
    with pytest.raises(NameTaken, match="http://b:1"):  # the first was only asleep
        first.renew(clock.now)


def test_two_processes_that_say_they_are_one_pod_do_not_push_each_other_out_in_turn() -> None:
    clock = Clock()
    old, new = clock.registration(incarnation="1"), clock.registration(incarnation="2")
    old.renew(clock.now)
    new.renew(clock.now)
    with pytest.raises(NameTaken):
        old.renew(clock.now)
    new.renew(clock.now)
    assert clock.pods[0].identity == "2"


def test_what_is_no_registration_is_left_out_and_keeps_no_name() -> None:
    clock = Clock()
    clock.store.put(keys.pod_registration("a"), b"{}")
    clock.store.put(keys.pod_registration("b"), Registration("another", "http://b:1", "i").encode())
    clock.store.put(keys.pod_registration("c"), Registration("c", "ftp://c", "i").encode())
    assert clock.pods == ()
    clock.registration().renew(clock.now)
    assert [pod.name for pod in clock.pods] == ["a"]


def test_registrations_that_ended_long_ago_are_deleted_and_those_that_stand_are_read_once() -> None:
    clock = Clock()
    clock.registration("dead", "http://dead:1").renew(clock.now)
    clock.after(FORGET_SECONDS + 1.0)
    ours = clock.registration()
    ours.renew(clock.now)
    assert [pod.name for pod in clock.pods] == ["a"]
    assert clock.store.head(keys.pod_registration("dead")) is None
    ours.renew(clock.after(5.0).now)
    clock.store.get = None  # type: ignore[assignment,method-assign]  # it would be read by this
    assert [pod.name for pod in clock.pods] == ["a"]


async def test_a_store_that_is_away_is_a_failed_look() -> None:
    class Away(MemoryStore):
        def list(self, prefix: str, *, start_after: str = "") -> list[ObjectInfo]:  # type: ignore[override]
            raise StoreUnavailable("no route")

    with pytest.raises(DiscoveryFailed, match="no route"):
        await RegistrationSource(Away()).look()


async def test_a_pod_registers_while_it_runs_and_leaves_when_it_is_cancelled() -> None:
    store = MemoryStore()
    views: list[FleetView] = []
    watch = FleetWatch(
        "registration", RegistrationSource(store, every_seconds=0.02), lambda view, _: views.append(view)
    )
    following = asyncio.create_task(watch.run())
    pods = [
        asyncio.create_task(Registrar(store, Registration(n, f"http://{n}:1", n), renew_seconds=0.02).run())
        for n in "ab"
    ]
    try:
        await until_async(lambda: set(watch.view.pods) == {"a", "b"}, "both are found")
        pods[0].cancel()
        await until_async(lambda: set(watch.view.pods) == {"b"}, "one has left")
    finally:
        for task in (following, *pods):
            task.cancel()
        await asyncio.gather(following, *pods, return_exceptions=True)


async def test_a_pod_whose_name_another_has_says_so_until_it_has_it() -> None:
    store = MemoryStore()
    registration = Registration("a", "http://b:1", "j")
    first = Registrar(store, Registration("a", "http://a:1", "i"))
    first.renew(0.0)
    second = Registrar(store, registration, renew_seconds=0.02, expiry_seconds=0.2)
    running = asyncio.create_task(second.run())
    try:
        await until_async(lambda: "a pod at http://a:1 is registered by that name" in second.trouble, "it says so")
        await until_async(lambda: not second.trouble, "the first has ended")
        assert second._etag is not None
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


def test_after_an_outage_of_the_store_pods_that_were_known_have_the_time_to_renew() -> None:
    clock = Clock()
    ours, gone = clock.registration(), clock.registration("gone", "http://gone:1")
    for each in (ours, gone):
        each.renew(clock.now)
    assert len(clock.pods) == 2
    clock.after(FORGET_SECONDS + 600.0)  # neither pods nor we could reach it
    assert len(clock.pods) == 2
    assert clock.store.head(keys.pod_registration("gone")) is not None
    ours.renew(clock.after(5.0).now)
    assert len(clock.pods) == 2
    for _ in range(3):
        ours.renew(clock.after(5.0).now)
        found = clock.pods
    assert [pod.name for pod in found] == ["a"]


def test_a_listing_that_takes_long_ends_no_registration_early() -> None:
    clock = Clock()
    ours, other = clock.registration(), clock.registration("b", "http://b:1")
    ours.renew(clock.now)
    plain = clock.store.list

    def slowly(prefix: str, *, start_after: str = "") -> Iterator[ObjectInfo]:
        other.renew(clock.after(8.0).now)
        return plain(prefix, start_after=start_after)

    clock.store.list = slowly  # type: ignore[method-assign]
    assert len(clock.pods) == 2
    clock.store.list = plain  # type: ignore[method-assign]
    assert len(clock.after(1.0).pods) == 2  # nine seconds after it was written
