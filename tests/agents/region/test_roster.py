"""The region's pods from several fleets: clients made and closed, changes told, trouble named."""

import asyncio

from modelcast.agents.region.decider.events_and_effects import PodsKnown, PodTraits
from modelcast.agents.region.roster import FleetRoster
from modelcast.consumers.discovery.decider.merging import FleetView, Member
from modelcast.consumers.discovery.port import PodAddress
from modelcast.infra.telemetry import metrics
from tests.agents.region.scene import PodInMemory


class Client(PodInMemory):
    """Remembers where it is and whether it was closed."""

    def __init__(self, member: Member) -> None:
        super().__init__(member.endpoint.name)
        self.url = member.endpoint.url
        self.closed = False

    async def aclose(self) -> None:
        self.closed = True


class Watched:
    """A roster of a static fleet with pod ``s`` and a discovered one, and what it told."""

    def __init__(self, *traits: PodTraits) -> None:
        self.told: list[PodsKnown] = []
        self.clients: list[Client] = []
        named = FleetView({"s": PodAddress("s", "http://s:1")}, seen_at=0.0)
        self.roster = FleetRoster(
            ["settings", "registration"], [named, FleetView()], self._client, self.told.append, traits
        )

    def _client(self, member: Member) -> Client:
        self.clients.append(Client(member))
        return self.clients[-1]

    def finds(self, *pods: PodAddress, error: str = "") -> None:
        self.roster.looked(1, FleetView({pod.name: pod for pod in pods}, seen_at=1.0, error=error))


A, B = PodAddress("a", "http://a:1"), PodAddress("b", "http://b:1")


async def test_pods_that_settings_name_are_known_at_once_and_a_fleet_is_unknown_until_it_was_looked_at() -> None:
    watched = Watched()
    known = watched.roster.known()
    assert (known.names, known.fleets_unknown) == (("s",), 1)
    assert known.trouble == "the pods of fleet registration are not known: it was not looked at yet"
    watched.finds(A, B)
    assert watched.told == [PodsKnown(("a", "b", "s"))]
    assert sorted(watched.roster.pods) == ["a", "b", "s"]
    assert metrics.FLEET_PODS.labels("registration")._value.get() == 2
    assert metrics.FLEET_SEEN_TIMESTAMP.labels("registration")._value.get() > 1e9


async def test_a_look_that_finds_nothing_new_is_not_told() -> None:
    watched = Watched()
    watched.finds(A)
    watched.finds(A)
    assert len(watched.told) == 1


async def test_a_pod_at_another_address_gets_another_client_and_the_old_one_is_closed() -> None:
    watched = Watched()
    watched.finds(A)
    watched.finds(PodAddress("a", "http://elsewhere:1"))
    assert watched.told[-1] == PodsKnown(("a", "s"), replaced=frozenset("a"))
    await asyncio.sleep(0)
    assert [(c.url, c.closed) for c in watched.clients[1:]] == [("http://a:1", True), ("http://elsewhere:1", False)]


async def test_a_pods_own_zone_goes_before_its_fleets_and_a_change_of_it_is_told_and_replaces_no_pod() -> None:
    watched = Watched(PodTraits(zone="z0", source="settings"), PodTraits(zone="z0", source="registration"))
    watched.finds(PodAddress("a", "http://a:1", zone="z1"), B)
    assert watched.told[-1].traits == {
        "a": PodTraits(zone="z1", source="registration"),
        "b": PodTraits(zone="z0", source="registration"),
        "s": PodTraits(zone="z0", source="settings"),
    }
    watched.finds(PodAddress("a", "http://a:1", zone="z2"), B)
    assert watched.told[-1].traits["a"].zone == "z2"
    assert not watched.told[-1].replaced
    assert [client.closed for client in watched.clients] == [False, False, False]


async def test_a_pod_that_left_is_told_and_closed_and_the_rest_is_closed_at_the_end() -> None:
    watched = Watched()
    watched.finds(A, B)
    watched.finds(B)
    assert watched.told[-1] == PodsKnown(("b", "s"))
    await watched.roster.aclose()
    assert all(client.closed for client in watched.clients)


async def test_a_fleet_that_fails_is_told_once_with_the_time_of_what_is_known() -> None:
    watched = Watched()
    watched.finds(A)
    watched.finds(A, error="HTTP 503")
    watched.finds(A, error="HTTP 503")
    assert len(watched.told) == 2
    assert watched.told[-1].names == ("a", "s")
    assert watched.told[-1].trouble.startswith("the pods of fleet registration are those of ")
    assert watched.told[-1].trouble.endswith("UTC: HTTP 503")


async def test_fleets_that_contradict_each_other_are_told() -> None:
    watched = Watched()
    watched.finds(PodAddress("s", "http://other:1"))
    assert watched.told[-1] == PodsKnown(
        ("s",), trouble="two pods are called s: http://s:1, and http://other:1, which is left out"
    )
