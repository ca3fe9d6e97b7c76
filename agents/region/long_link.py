"""What this worker shares of the long link with the others of its region; its limit may change while it runs."""

from typing import Protocol, cast

import structlog

from modelcast.consumers.fetch import Accelerator, ArtifactCache, Link, RateLimit, RegionLeases, Throughput
from modelcast.infra import accelerators
from modelcast.infra import settings as settings_module
from modelcast.infra.settings import RegionSettings, Settings
from modelcast.schemas.errors import ModelcastError
from modelcast.schemas.ports import ObjectStore

log = structlog.get_logger(__name__)


def long_link(here: RegionSettings, region_store: ObjectStore, cache: ArtifactCache) -> Link:
    """The link of one worker: a share of the region's rate limit, and leases kept in the region's bucket."""
    leases = RegionLeases(region_store, cache.identity, here.origin_readers_max)
    rate_limit = RateLimit(here.bandwidth_bytes_per_second, leases.share)
    return Link(rate_limit, leases, here.fetch_threads, Throughput(allowance=rate_limit.allowance))


class Plug(Protocol):
    """What the entry point ``fetch`` names."""

    def __call__(self, *, size_min_bytes: int) -> Accelerator:
        """An accelerator for all fetches of this process."""
        ...


def fetch_accelerator(settings: Settings) -> Accelerator | None:
    """The accelerator of fetches, if one is installed."""
    plug = cast("Plug | None", accelerators.load_accelerator("fetch"))
    return None if plug is None else plug(size_min_bytes=settings.publish.delta_size_min_bytes)


def reload_limit(link: Link, region: str) -> None:
    """Read the settings again (on SIGHUP) and apply their rate limit; settings that are wrong change nothing."""
    try:
        limit = settings_module.load_settings().region(region).bandwidth_bytes_per_second
    except ModelcastError as error:
        log.error("the settings can't be read again: the limit stays", error=error)
        return
    link.rate_limit.change(limit)
    log.info("the long link's limit was read again", bandwidth_bytes_per_second=limit)
