"""Stores, a cache, and two versions of a model."""

import pytest

from modelcast.consumers.fetch import ArtifactCache, Fetcher
from modelcast.infra.stores import MemoryStore
from modelcast.schemas.manifest import Manifest
from tests.consumers.fetch.conftest import cache, origin, region, short_pauses  # noqa: F401 - fixtures
from tests.consumers.fetch.publishing import OLD, SMALL, publish
from tests.deltas.fetch.offering import NEW


@pytest.fixture
def versions(origin: MemoryStore, cache: ArtifactCache) -> dict[int, Manifest]:  # noqa: F811
    """Version 1 is in the cache, version 2 is to come."""
    first = publish(origin, {"weights": OLD, "small": SMALL})
    Fetcher(origin, None, cache).fetch(first.digest)
    return {1: first, 2: publish(origin, {"weights": NEW, "small": SMALL})}
