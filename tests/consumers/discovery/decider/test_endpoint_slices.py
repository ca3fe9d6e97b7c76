"""Which pods EndpointSlices name."""

import pytest

from modelcast.consumers.discovery.decider.endpoint_slices import PodPort, pods_of
from modelcast.consumers.discovery.port import DiscoveryFailed, PodAddress
from tests.consumers.discovery.api_server import Slice, a_slice, endpoint

HTTP = PodPort()


def named(*slices: Slice, port: PodPort = HTTP) -> list[str]:
    return [pod.name for pod in pods_of(slices, port)]


def test_a_pod_is_called_as_kubernetes_does_and_told_apart_by_its_uid() -> None:
    assert pods_of([a_slice("s", endpoint("eu-0", "10.1.0.5", uid="u"))], HTTP) == (
        PodAddress("eu-0", "http://10.1.0.5:8080", "u"),
    )


def test_pods_that_are_not_ready_are_among_them_and_those_that_end_are_not() -> None:
    slices = a_slice(
        "s",
        endpoint("ready", "10.1.0.1"),
        endpoint("starting", "10.1.0.2", ready=False),
        endpoint("unknown", "10.1.0.3", ready=None),
        endpoint("ending", "10.1.0.4", ready=False, terminating=True),
    )
    assert named(slices) == ["ready", "starting", "unknown"]


def test_a_pod_in_two_slices_or_with_addresses_of_both_families_is_one_pod() -> None:
    both = (
        a_slice("a", endpoint("eu-0", "fd00::5"), family="IPv6"),
        a_slice("b", endpoint("eu-0", "10.1.0.5")),
        a_slice("c", endpoint("eu-0", "10.1.0.5"), endpoint("eu-1", "10.1.0.6")),
    )
    assert [pod.url for pod in pods_of(both, HTTP)] == ["http://10.1.0.5:8080", "http://10.1.0.6:8080"]
    assert [pod.url for pod in pods_of(both[:1], HTTP)] == ["http://[fd00::5]:8080"]


def test_a_pod_stands_in_the_zone_that_its_slice_names() -> None:
    slices = a_slice("s", endpoint("eu-0", "10.1.0.5", zone="eu-1a"), endpoint("eu-1", "10.1.0.6"))
    assert [pod.zone for pod in pods_of([slices], HTTP)] == ["eu-1a", ""]


def test_an_endpoint_that_is_no_pod_is_called_by_its_address() -> None:
    bare = {"addresses": ["10.1.0.7"]}
    assert pods_of([a_slice("s", bare)], HTTP) == (PodAddress("10.1.0.7:8080", "http://10.1.0.7:8080"),)


def test_the_port_is_the_only_one_or_that_of_the_name_or_the_number_in_the_settings() -> None:
    slices = a_slice("s", endpoint("eu-0", "10.1.0.5"))
    slices["ports"].append({"name": "metrics", "port": 9090})
    assert pods_of([slices], PodPort("metrics", "https"))[0].url == "https://10.1.0.5:9090"
    assert pods_of([slices], PodPort("7000"))[0].url == "http://10.1.0.5:7000"
    with pytest.raises(DiscoveryFailed, match=r"s names no port that is the only one \(its ports: http, metrics\)"):
        pods_of([slices], HTTP)
    with pytest.raises(DiscoveryFailed, match="no port 'grpc'"):
        pods_of([slices], PodPort("grpc"))
    with pytest.raises(DiscoveryFailed, match="no port"):
        pods_of([a_slice("s", endpoint("eu-0", "10.1.0.5"), port=None)], HTTP)


def test_slices_without_endpoints_name_nothing_whatever_their_ports() -> None:
    empty = a_slice("s")
    assert named(empty | {"endpoints": None, "ports": None}, a_slice("t", endpoint("eu-0", "10.1.0.5"))) == ["eu-0"]


@pytest.mark.parametrize("broken", [{}, {"metadata": {}}, {"metadata": {"name": "s"}, "endpoints": [7], "ports": []}])
def test_what_is_no_slice_is_a_failed_look(broken: Slice) -> None:
    with pytest.raises(DiscoveryFailed, match="malformed"):
        pods_of([broken], PodPort("80"))
