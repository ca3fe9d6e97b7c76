"""Settings of fleets: the pods of one kind in one region, named or discovered."""

import ipaddress
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from modelcast.infra.settings_rollovers import RolloverSettings
from modelcast.infra.settings_section import Section
from modelcast.infra.urls import check_url

Scheme = Literal["http", "https"]
DNS_PORT = 53


class RegistrationDiscovery(Section):
    """Pods register themselves in the region's bucket (``run pod --advertise URL``)."""

    by: Literal["registration"]

    @property
    def label(self) -> str:
        """The source's name, for people and metrics."""
        return "registration"


class FileDiscovery(Section):
    """Pods stand in a file that is replaced whenever they change."""

    by: Literal["file"]
    path: Path

    @field_validator("path")
    @classmethod
    def _suffix(cls, value: Path) -> Path:
        if value.suffix not in {".json", ".toml"}:
            raise ValueError(f"{value}: the file is read as its name says: end it in .json or .toml")
        return value

    @property
    def label(self) -> str:
        """The source's name, for people and metrics."""
        return f"file {self.path}"


class DnsDiscovery(Section):
    """Pods stand in DNS: the addresses of a name, or SRV records, which name the ports, too."""

    by: Literal["dns"]
    name: str = Field(min_length=1, max_length=253)
    record: Literal["A", "AAAA", "SRV"] = "A"
    port: int | None = Field(default=None, ge=1, le=65535)
    scheme: Scheme = "http"
    nameservers: tuple[str, ...] = ()  # "10.0.0.2" or "10.0.0.2:5353"; none: those of the machine

    @field_validator("nameservers")
    @classmethod
    def _addresses(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for each in value:
            _resolver(each)
        return value

    @model_validator(mode="after")
    def _port_once(self) -> Self:
        if self.record == "SRV" and self.port is not None:
            raise ValueError("SRV records name the ports: leave port out")
        if self.record != "SRV" and self.port is None:
            raise ValueError(f"{self.record} records name no port: set port")
        return self

    @property
    def resolvers(self) -> tuple[tuple[str, int], ...]:
        """Address and port of each name server."""
        return tuple(map(_resolver, self.nameservers))

    @property
    def label(self) -> str:
        """The source's name, for people and metrics."""
        return f"dns {self.record} {self.name}" + (f":{self.port}" if self.port else "")


def _resolver(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon or (text.count(":") > 1 and not host.startswith("[")):
        host, port = text, str(DNS_PORT)
    try:
        address = ipaddress.ip_address(host.strip("[]"))
        number = int(port)
    except ValueError:
        number = 0
    if not 0 < number < 65536:
        raise ValueError(f"{text!r} is no address of a name server: write 10.0.0.2 or 10.0.0.2:5353")
    return str(address), number


class KubernetesDiscovery(Section):
    """Pods are those of a Service, ready or not, by its EndpointSlices."""

    by: Literal["kubernetes"]
    service: str = Field(pattern=r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$", max_length=63)
    namespace: str = Field(default="", pattern=r"^([a-z0-9]([a-z0-9-]*[a-z0-9])?)?$", max_length=63)  # "": our own
    port: str | int = ""  # its name or number; "": the Service has only one
    scheme: Scheme = "http"
    api_url: str | None = None  # None: as from within the cluster
    token_file: Path | None = None
    ca_file: Path | None = None

    @field_validator("api_url")
    @classmethod
    def _http(cls, value: str | None) -> str | None:
        if value is not None:
            check_url(value, ("https", "http"))
        return value

    @model_validator(mode="after")
    def _files_go_with_the_url(self) -> Self:
        if self.api_url is None and (self.token_file or self.ca_file):
            raise ValueError("token_file and ca_file go with api_url; within the cluster they are found by themselves")
        return self

    @property
    def label(self) -> str:
        """The source's name, for people and metrics."""
        place = f"{self.namespace}/{self.service}" if self.namespace else self.service
        return f"kubernetes {place}" + (f":{self.port}" if self.port else "")


Discovery = Annotated[
    RegistrationDiscovery | FileDiscovery | DnsDiscovery | KubernetesDiscovery, Field(discriminator="by")
]


class FleetSettings(Section):
    """Pods of one kind: ``modelcast`` (our own, and companions of other servers), or ``v2``.

    A ``v2`` server is driven directly by the Open Inference Protocol: another tool places the files, no one checks
    them, and no fence stands before it.
    """

    kind: Literal["modelcast", "v2"] = "modelcast"
    pods: tuple[str, ...] = ()  # base URLs
    discover: Discovery | None = None
    zone: str = ""  # for rollover.order = "zone"
    rollover: RolloverSettings = RolloverSettings()  # its own; it then counts its pods for itself

    @field_validator("pods")
    @classmethod
    def _http(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for url in value:
            check_url(url, ("http", "https"))
        return value

    @model_validator(mode="after")
    def _named_or_discovered(self) -> Self:
        if self.discover is None and "pods" not in self.model_fields_set:
            raise ValueError("name its pods (pods = […]), or say how they are discovered (discover = { by = … })")
        if self.discover is not None and self.pods:
            raise ValueError("write pods or discover, not both: a fleet each")
        if self.kind == "v2" and isinstance(self.discover, RegistrationDiscovery):
            raise ValueError("servers of kind v2 register nowhere: write pods, or discover them otherwise")
        return self

    @property
    def label(self) -> str:
        """The fleet's name, for people and metrics."""
        return self.discover.label if self.discover else "settings"
