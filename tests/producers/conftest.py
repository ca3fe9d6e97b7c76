"""A publisher on a store in memory, and who hears it."""

import pytest

from modelcast.infra.stores import MemoryStore
from modelcast.producers import Publisher
from tests.producers.fakes import SETTINGS, Heard


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def publisher(store: MemoryStore, heard: Heard) -> Publisher:
    return Publisher(SETTINGS, store=store, announcer=heard)
