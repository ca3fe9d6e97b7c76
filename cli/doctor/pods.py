"""Every pod that the settings name or that is discovered: alive, and ready to take traffic."""

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from modelcast.cli.doctor.checks import Check, Result, Unit, failed, known
from modelcast.schemas.errors import ModelcastError

if TYPE_CHECKING:
    from modelcast.infra.settings import Settings
    from modelcast.infra.settings_fleets import FleetSettings

ASKED_AT_ONCE = 16


def units(settings: "Settings") -> list[Unit]:
    """A pod each that is named, and a fleet each that is discovered."""
    pods = [(name, url) for name, region in settings.regions.items() for url in region.pod_urls]
    fleets = [(name, fleet) for name, region in settings.regions.items() for fleet in region.fleets if fleet.discover]
    if not pods and not fleets:
        hint = "set [regions.NAME] pods = ['http://…'], or [[regions.NAME.fleet]] discover = { by = … }"
        return [known(Check("pods", Result.skipped, "the settings name none", hint))]
    return [
        *(Unit(f"pod {region} {url}", partial(_ask, region, url), seconds_max=10.0) for region, url in pods),
        *(Unit(f"fleet {region} {fleet.label}", partial(_fleet, settings, region, fleet)) for region, fleet in fleets),
    ]


def _fleet(settings: "Settings", region: str, fleet: "FleetSettings") -> Iterator[Check]:
    """One look at a fleet, and each pod that it has."""
    import asyncio
    from concurrent.futures import ThreadPoolExecutor

    from modelcast.consumers.discovery.configured import look_once
    from modelcast.infra.stores.configured import store_of

    subject = f"fleet {region} {fleet.label}"
    try:
        section = settings.region(region).store
        found = asyncio.run(look_once(fleet, store_of(section) if section else None))
    except ModelcastError as error:
        yield failed(subject, error)
        return
    if not found:
        yield Check(subject, Result.warning, "no pods", "nothing serves from this fleet: is it scaled to zero?")
        return
    yield Check(subject, Result.ok, f"{len(found)} {'pod' if len(found) == 1 else 'pods'}")
    with ThreadPoolExecutor(ASKED_AT_ONCE) as threads:
        yield from threads.map(lambda pod: _check(region, pod.url, pod.name), found)


def _ask(region: str, url: str) -> Iterator[Check]:
    yield _check(region, url)


def _check(region: str, url: str, name: str = "") -> Check:
    import http.client

    subject = f"pod {region} {name} {url}" if name and name not in url else f"pod {region} {url}"
    parts = urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=3)
    try:
        connection.request("GET", f"{parts.path.rstrip('/')}/v2/health/ready")
        status = connection.getresponse().status
        detail = "ready" if status == 200 else f"answers {status}: not ready"
        result = Result.ok if status == 200 else Result.warning
        return Check(subject, result, detail, "it may be starting or draining; see its log")
    except (OSError, http.client.HTTPException) as error:
        return Check(subject, Result.unreachable, str(error) or type(error).__name__, _HINT)
    finally:
        connection.close()


_HINT = "is it up? see its log"
