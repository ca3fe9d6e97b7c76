"""Every pod that the settings name: alive, and ready to take traffic."""

from collections.abc import Iterator
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from modelcast.cli.doctor.checks import Check, Result, Unit

if TYPE_CHECKING:
    from modelcast.infra.settings import Settings


def units(settings: "Settings") -> list[Unit]:
    """A pod each."""
    pods = [(name, url) for name, region in settings.regions.items() for url in region.pod_urls]
    if not pods:
        hint = "set [regions.NAME] pods = ['http://…']"
        return [Unit("pods", lambda: iter([Check("pods", Result.skipped, "the settings name none", hint)]))]
    return [
        Unit(f"pod {region} {url}", lambda r=region, u=url: _check(r, u), seconds_max=10.0)  # type: ignore[misc]
        for region, url in pods
    ]


def _check(region: str, url: str) -> Iterator[Check]:
    import http.client

    parts = urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=3)
    try:
        connection.request("GET", f"{parts.path.rstrip('/')}/v2/health/ready")
        status = connection.getresponse().status
        detail = "ready" if status == 200 else f"answers {status}: not ready"
        result = Result.ok if status == 200 else Result.warning
        yield Check(f"pod {region} {url}", result, detail, "it may be starting or draining; see its log")
    except (OSError, http.client.HTTPException) as error:
        yield Check(f"pod {region} {url}", Result.unreachable, str(error) or type(error).__name__, _HINT)
    finally:
        connection.close()


_HINT = "is it up? see its log"
