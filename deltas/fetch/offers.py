"""What deltas a store offers. Nothing here is trusted: the worst that a bad offer does is to cost a second try."""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

import structlog

from modelcast.consumers.fetch import Context, retried
from modelcast.deltas.fetch.planning.paths import Offer
from modelcast.schemas import keys
from modelcast.schemas.errors import ModelcastError
from modelcast.schemas.ports import ObjectStore

OFFERS_MAX = 10_000
"""Of one artifact; what comes later in the listing is not seen."""
LISTERS = 4
"""Listings at once."""

log = structlog.get_logger(__name__)


def read_offers(store: ObjectStore, manifest_digests: Iterable[str], context: Context) -> tuple[Offer, ...]:
    """The deltas that make files of these artifacts; none if the store can't or won't say.

    Raises:
        FetchCancelled: they are not wanted any more.
    """

    def listed(digest: str) -> list[Offer]:
        try:
            return retried(lambda: _read(store, digest), context, attempts=1)
        except ModelcastError as error:
            if context.cancelled():
                raise
            log.warning("deltas can't be looked for", store=store.name, error=error)
            return []

    asked = list(dict.fromkeys(manifest_digests))
    if len(asked) < 2:
        return tuple(offer for digest in asked for offer in listed(digest))
    with ThreadPoolExecutor(min(len(asked), LISTERS), "offers") as pool:
        return tuple(offer for found in pool.map(listed, asked) for offer in found)


def _read(store: ObjectStore, manifest_digest: str) -> list[Offer]:
    offers: list[Offer] = []
    for info in islice(store.list(keys.delta_prefix(manifest_digest)), OFFERS_MAX):
        parsed = keys.parse_delta(info.key)
        if parsed is not None and info.size_bytes > 0:
            offers.append(Offer(parsed[1], parsed[2], info.size_bytes, info.key, info.etag))
    return offers
