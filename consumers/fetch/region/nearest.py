"""The manifest from the region, or from the origin."""

from collections.abc import Callable

from modelcast.consumers.fetch.context import Context
from modelcast.consumers.fetch.region.bucket import RegionalBucket
from modelcast.consumers.fetch.transfer.early import started
from modelcast.consumers.fetch.transfer.retry import retried
from modelcast.schemas.manifest import Manifest


def near_or_far(
    region: RegionalBucket | None, read: Callable[[], Manifest], *, at_once: bool, context: Context
) -> Manifest:
    """The region's manifest, if it is there, else what ``read`` gives. Raises like both.

    Args:
        region: asked first; None: there is none.
        read: asks the origin.
        at_once: ask both together, for an artifact so small that it is the waiting that counts.
        context: of the attempts.
    """
    early = started(read) if at_once and region is not None else None
    manifest = region.find() if region is not None else None
    if manifest is None and early is not None:
        manifest = early()
    return manifest if manifest is not None else retried(read, context)
