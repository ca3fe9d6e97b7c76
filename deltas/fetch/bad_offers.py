"""Deltas that failed, so that none is tried twice."""

import threading
from collections import OrderedDict

from modelcast.deltas.fetch.planning.paths import Offer

ARTIFACTS_REMEMBERED = 1000


class BadOffers:
    """Deltas that failed, by artifact, so that none is tried twice. A new object at an old key is a new offer."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._by_artifact: OrderedDict[str, set[tuple[str, str]]] = OrderedDict()

    def add(self, manifest_digest: str, offer: Offer) -> None:
        """``offer`` failed for good."""
        with self._lock:
            self._by_artifact.setdefault(manifest_digest, set()).add((offer.key, offer.etag))
            if len(self._by_artifact) > ARTIFACTS_REMEMBERED:
                self._by_artifact.popitem(last=False)

    def of(self, manifest_digest: str) -> frozenset[tuple[str, str]]:
        """(key, etag) of what failed."""
        with self._lock:
            return frozenset(self._by_artifact.get(manifest_digest, ()))
