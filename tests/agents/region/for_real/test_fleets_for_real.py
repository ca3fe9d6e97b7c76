"""A real region whose pods come and go: registered by themselves or listed in a file, killed, moved, back older."""

import asyncio
import http.client
import json
import threading
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest

from modelcast.infra.local.ports import free_ports
from modelcast.infra.stores.configured import region_store
from modelcast.producers import Publisher
from modelcast.schemas import keys
from modelcast.schemas.records import ModelAck
from tests.agents.region.stack import Stack, Topics
from tests.consumers.discovery.api_server import NAMESPACE, SERVICE, KubernetesApi, a_slice, endpoint
from tests.consumers.discovery.name_server import NameServer
from tests.support.processes.daemon import Daemon
from tests.support.waiting import until

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]


class Fleet:
    """A region, its agent, and pods that a test starts and ends."""

    def __init__(self, stack: Stack, folder: Path, discover: object) -> None:
        self.stack = stack
        self.folder = folder
        stack.env["MODELCAST_REGIONS__EU__FLEET"] = json.dumps([{"discover": discover}])
        self.topics = Topics(stack.settings)
        self.agent = stack.agent()
        self.publisher = Publisher(stack.settings)

    def pod(self, name: str, port: int, *, advertise: bool = True, state: str = "", zone: str = "") -> Daemon:
        """Start a pod; its state is kept under its name, or as ``state``."""
        command = [
            *("-m", "modelcast.cli.main", "run", "pod", "--name", name, "--region", "eu", "--port", str(port)),
            *("--state-dir", str(self.folder / f"{state or name}-state")),
            *(("--advertise", f"http://127.0.0.1:{port}") if advertise else ()),
            *(("--zone", zone) if zone else ()),
        ]
        home = self.folder / f"{name}-{port}"
        home.mkdir(exist_ok=True)
        self.stack.processes.append(Daemon(name, command, self.stack.env, home).start())
        return self.stack.processes[-1]

    def publish(self, version: int) -> None:
        self.publisher.publish("adder", self.stack.model(float(version)))

    @property
    def ack(self) -> ModelAck | None:
        return self.topics.latest("adder")

    @property
    def places(self) -> dict[str, tuple[str, str, str]]:
        """What is reported of each pod: kind, fleet and zone."""
        return {pod.pod: (pod.kind, pod.fleet, pod.zone) for pod in self.ack.pods} if self.ack else {}

    def serve(self, version: int, *names: str) -> None:
        """Wait until just these pods are reported to serve the version."""

        def so() -> bool:
            serving = self.topics.serving("adder", version, pods=len(names))
            return serving and self.ack is not None and [p.pod for p in self.ack.pods] == sorted(names)

        until(so, lambda: f"version {version} on {names}; last: {self.ack}")

    def close(self) -> None:
        self.publisher.close()
        self.topics.close()


@pytest.fixture
def make_fleet(make_stack: Callable[..., Stack], tmp_path: Path) -> Iterator[Callable[[object], Fleet]]:
    made: list[Fleet] = []

    def make(discover: object) -> Fleet:
        made.append(Fleet(make_stack(pods_per_region=0), tmp_path, discover))
        return made[-1]

    yield make
    for fleet in made:
        fleet.close()


@pytest.mark.soak
def test_pods_that_register_themselves_come_leave_and_come_back_elsewhere(
    make_fleet: Callable[[object], Fleet],
) -> None:
    fleet = make_fleet({"by": "registration"})
    ports = free_ports(3)
    fleet.publish(1)
    until(lambda: fleet.ack is not None, "the region reports")
    assert fleet.ack is not None
    assert (fleet.ack.pods_expected, str(fleet.ack.state)) != (0, "SERVING")
    fleet.pod("a", ports[0], zone="eu-1a")
    second = fleet.pod("b", ports[1])
    fleet.serve(1, "a", "b")
    assert fleet.places == {"a": ("modelcast", "registration", "eu-1a"), "b": ("modelcast", "registration", "")}
    assert second.terminate() == 0
    assert region_store(fleet.stack.settings, "eu").head(keys.pod_registration("b")) is None  # it deleted its entry
    fleet.serve(1, "a")
    fleet.publish(2)
    fleet.serve(2, "a")
    fleet.pod("b", ports[2])  # elsewhere, with what it served before
    fleet.serve(2, "a", "b")


@pytest.mark.soak
def test_a_registered_pod_that_is_killed_is_left_out_once_its_registration_ends_and_is_back_when_it_starts_again(
    make_fleet: Callable[[object], Fleet],
) -> None:
    fleet = make_fleet({"by": "registration"})
    ports = free_ports(3)
    fleet.publish(1)
    killed, _ = fleet.pod("a", ports[0]), fleet.pod("b", ports[1])
    fleet.serve(1, "a", "b")
    killed.kill()
    fleet.serve(1, "b")
    fleet.publish(2)
    fleet.serve(2, "b")
    killed.start()
    fleet.serve(2, "a", "b")
    fleet.pod("b", ports[2], state="namesake")
    until(lambda: "is registered by that name" in readiness(ports[2]), "a pod of a name that is taken says so")
    assert '"ready":false' in readiness(ports[2]).replace(" ", "")
    fleet.serve(2, "a", "b")


@pytest.mark.soak
def test_pods_that_a_file_lists_are_followed_and_a_broken_or_empty_one_is_told(
    make_fleet: Callable[[object], Fleet], tmp_path: Path
) -> None:
    path = tmp_path / "pods.json"
    ports = free_ports(2)
    fleet = make_fleet({"by": "file", "path": str(path)})
    fleet.publish(1)
    until(lambda: fleet.ack and "are not known" in fleet.ack.error, "the file is missed")
    assert fleet.ack is not None
    assert fleet.ack.pods_expected == 1  # at least one, and no one knows
    for number, port in enumerate(ports):
        fleet.pod(f"pod-{number}", port, advertise=False)
    names = [f"127.0.0.1:{port}" for port in ports]
    replace(path, json.dumps([f"http://{name}" for name in names]))
    fleet.serve(1, *names)
    replace(path, "[")
    until(lambda: fleet.ack and "is no list of pods" in fleet.ack.error, "it is found to be broken")
    fleet.serve(1, *names)
    replace(path, json.dumps([f"http://{names[0]}"]))
    fleet.publish(2)
    fleet.serve(2, names[0])
    replace(path, "[]")
    until(lambda: fleet.ack and fleet.ack.pods_expected == 0, "there are no pods")
    assert fleet.ack is not None
    assert str(fleet.ack.state) != "SERVING"


@pytest.mark.soak
def test_pods_in_dns_are_followed_and_a_name_that_is_gone_takes_none_away_at_once(
    make_fleet: Callable[[object], Fleet],
) -> None:
    server, key = NameServer(), ("_http._tcp.pods.example", "SRV")
    with Beside(server):
        asked = {"by": "dns", "name": key[0], "record": "SRV", "nameservers": [f"127.0.0.1:{server.port}"]}
        fleet = make_fleet(asked)
        ports = free_ports(2)
        fleet.publish(1)
        until(lambda: fleet.ack and "DNS knows no such name" in fleet.ack.error, "the name is missed")
        for number, port in enumerate(ports):
            fleet.pod(f"pod-{number}", port, advertise=False)
        records = [f"0 0 {port} localhost." for port in ports]
        server.records[key] = (1, (records[0],))
        fleet.serve(1, f"localhost:{ports[0]}")
        server.records[key] = (1, tuple(records))
        both = sorted(f"localhost:{port}" for port in ports)
        fleet.serve(1, *both)
        server.records.clear()
        until(lambda: fleet.ack and "DNS knows no such name" in fleet.ack.error, "the name is missed again")
        fleet.publish(2)
        fleet.serve(2, *both)


def readiness(port: int) -> str:
    """What a pod on this machine says to whether it is ready."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().read().decode()
    finally:
        connection.close()


def replace(path: Path, text: str) -> None:
    aside = path.with_suffix(".new")
    aside.write_text(text)
    aside.rename(path)


class Beside:
    """A server of the tests in a thread of its own; use it as a context."""

    def __init__(self, server: KubernetesApi | NameServer) -> None:
        self._server = server

    def __enter__(self) -> "Beside":
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.do(self._server.__aenter__())
        return self

    def __exit__(self, *_: object) -> None:
        self.do(self._server.__aexit__())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def do(self, doing: Coroutine[Any, Any, object]) -> None:
        """Run it there, and wait for it."""
        asyncio.run_coroutine_threadsafe(doing, self._loop).result(30)


@pytest.mark.soak
def test_the_pods_of_a_service_are_followed_by_its_endpoint_slices(
    make_fleet: Callable[[object], Fleet], tmp_path: Path
) -> None:
    token = tmp_path / "token"
    token.write_text("the account's\n")
    api = KubernetesApi(token="the account's")
    with Beside(api) as cluster:
        discover = {"by": "kubernetes", "service": SERVICE, "namespace": NAMESPACE, "api_url": api.url}
        fleet = make_fleet(discover | {"token_file": str(token)})
        ports = free_ports(2)
        fleet.publish(1)
        until(lambda: fleet.ack is not None and fleet.ack.pods_expected == 0, "the service has no pods")
        for name, port in zip(("a", "b"), ports, strict=True):
            fleet.pod(name, port, advertise=False)
        cluster.do(api.put(a_slice("slice-a", endpoint("a", "127.0.0.1", ready=False), port=ports[0])))
        fleet.serve(1, "a")
        cluster.do(api.put(a_slice("slice-b", endpoint("b", "127.0.0.1", ready=False, zone="eu-1b"), port=ports[1])))
        fleet.serve(1, "a", "b")
        label = f"kubernetes {NAMESPACE}/{SERVICE}"
        assert fleet.places == {"a": ("modelcast", label, ""), "b": ("modelcast", label, "eu-1b")}
        api.token = "another"
        cluster.do(api.end_watches())
        until(lambda: fleet.ack and "HTTP 401" in fleet.ack.error, "the account is refused")
        fleet.publish(2)
        fleet.serve(2, "a", "b")  # as it knew them
        token.write_text("another\n")
        cluster.do(api.delete("slice-a"))
        fleet.serve(2, "b")
