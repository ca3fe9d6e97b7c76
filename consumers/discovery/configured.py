"""The sources of pods that the settings name."""

from modelcast.consumers.discovery.file import FileSource
from modelcast.consumers.discovery.port import PodAddress, PodSource
from modelcast.consumers.discovery.registration_source import RegistrationSource
from modelcast.infra.settings_fleets import DnsDiscovery, FileDiscovery, FleetSettings, KubernetesDiscovery
from modelcast.infra.urls import host_and_path
from modelcast.schemas.errors import UsageError
from modelcast.schemas.ports import ObjectStore


def named_pods(fleet: FleetSettings) -> tuple[PodAddress, ...]:
    """The pods that the settings themselves name."""
    return tuple(PodAddress(host_and_path(url), url.rstrip("/")) for url in fleet.pods)


def source_of(fleet: FleetSettings, region_store: ObjectStore | None) -> PodSource:
    """Where a fleet's pods are discovered. Opens no connection yet.

    Args:
        fleet: one with ``discover``.
        region_store: the region's own bucket; None: it has none, and only registrations need one.

    Raises:
        UsageError: a library that it takes is not installed, or registrations have no bucket.
    """
    try:
        return _made(fleet, region_store)
    except ImportError as error:
        raise UsageError(
            f"this kind of discovery needs {error.name}", subject=fleet.label, hint="pip install 'modelcast[region]'"
        ) from None


def _made(fleet: FleetSettings, region_store: ObjectStore | None) -> PodSource:
    match fleet.discover:
        case FileDiscovery(path=path):
            return FileSource(path)
        case DnsDiscovery() as asked:
            from modelcast.consumers.discovery.dns import DnsSource

            return DnsSource(asked.name, asked.record, asked.port, asked.scheme, asked.resolvers)
        case KubernetesDiscovery() as asked:
            return _kubernetes(asked)
        case _:
            if region_store is None:
                raise UsageError(
                    "pods that register themselves need their region's bucket",
                    subject=fleet.label,
                    hint="set [regions.NAME.store] url = 's3://…'",
                )
            return RegistrationSource(region_store)


def keep_seconds(fleet: FleetSettings) -> float:
    """Seconds for which the last answer of a failing source still counts."""
    if not isinstance(fleet.discover, DnsDiscovery):
        return float("inf")
    from modelcast.consumers.discovery.dns import KEEP_SECONDS

    return KEEP_SECONDS


async def look_once(fleet: FleetSettings, region_store: ObjectStore | None) -> tuple[PodAddress, ...]:
    """Ask once for a fleet's pods.

    Raises:
        DiscoveryFailed: they can't be had.
        UsageError: see ``source_of``.
    """
    if fleet.discover is None:
        return named_pods(fleet)
    source = source_of(fleet, region_store)
    try:
        return await source.look()
    finally:
        await source.aclose()


def _kubernetes(asked: KubernetesDiscovery) -> PodSource:
    from modelcast.consumers.discovery.decider.endpoint_slices import PodPort
    from modelcast.consumers.discovery.kubernetes.api import ACCOUNT, ApiAccess
    from modelcast.consumers.discovery.kubernetes.source import EndpointSliceSource

    access = None
    if asked.api_url:
        access = ApiAccess(asked.api_url, asked.token_file or ACCOUNT / "token", asked.ca_file)
    return EndpointSliceSource(asked.service, asked.namespace, PodPort(str(asked.port), asked.scheme), access)
