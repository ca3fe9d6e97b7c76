"""Which pods a Service's EndpointSlices name. Pure; for what the API server answers, whatever it is.

Pods that are not ready are among them: the region brings them to the aspired version before they are. Those that end
(``terminating``) are not. A pod that stands in several slices, because they are being rewritten or the Service has
addresses of both families, is one pod: its name tells, and its uid tells it from an earlier one of that name.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from modelcast.consumers.discovery.decider.merging import unique_pods
from modelcast.consumers.discovery.port import DiscoveryFailed, PodAddress

_FAMILIES = {"IPv4": 0, "IPv6": 1, "FQDN": 2}


@dataclass(frozen=True, slots=True)
class PodPort:
    """Which of a pod's ports serves models.

    Attributes:
        name: of the port, or its number; "": the slices name only one.
        scheme: http or https.
    """

    name: str = ""
    scheme: str = "http"


@dataclass(frozen=True, slots=True)
class _Named:
    """An endpoint of a slice; the order of the fields is the order of preference."""

    family: int
    slice_name: str
    pod: PodAddress


def pods_of(slices: Iterable[Mapping[str, Any]], port: PodPort) -> tuple[PodAddress, ...]:
    """The pods that the slices name, by name.

    Raises:
        DiscoveryFailed: the slices are malformed, or do not say which port is meant.
    """
    try:
        named = sorted((n for each in slices for n in _named(each, port)), key=lambda n: (n.family, n.slice_name))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise DiscoveryFailed(f"an EndpointSlice is malformed: {type(error).__name__}: {error}") from None
    return unique_pods(each.pod for each in named)


def _named(piece: Mapping[str, Any], port: PodPort) -> Iterable[_Named]:
    name, family = piece["metadata"]["name"], piece.get("addressType", "IPv4")
    endpoints = piece.get("endpoints") or ()
    if not endpoints:
        return
    number = _number(piece.get("ports") or (), port, name)
    for endpoint in endpoints:
        conditions, target = endpoint.get("conditions") or {}, endpoint.get("targetRef") or {}
        if conditions.get("terminating"):
            continue
        address = endpoint["addresses"][0]  # they are fungible: the API reference lets clients use only the first
        place = f"[{address}]:{number}" if ":" in address else f"{address}:{number}"
        pod = PodAddress(
            str(target.get("name") or place),
            f"{port.scheme}://{place}",
            identity=str(target.get("uid") or ""),
            zone=str(endpoint.get("zone") or ""),
        )
        yield _Named(_FAMILIES.get(family, len(_FAMILIES)), name, pod)


def _number(ports: Iterable[Mapping[str, Any]], port: PodPort, slice_name: str) -> int:
    if port.name.isdecimal():
        return int(port.name)
    known = {str(each.get("name") or ""): each.get("port") for each in ports}
    found = known.get(port.name) if port.name or len(known) != 1 else next(iter(known.values()))
    if found is None:
        names = ", ".join(sorted(filter(None, known))) or "none"
        wanted = f"no port {port.name!r}" if port.name else "no port that is the only one"
        raise DiscoveryFailed(
            f"EndpointSlice {slice_name} names {wanted} (its ports: {names})", hint="set port to a name or a number"
        )
    return int(found)
