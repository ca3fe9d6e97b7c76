"""What a plan rests on: what the store offers to a region that holds some versions."""

import pytest

from modelcast.cli.plan_knowledge import RegionHoldings, planned, reported, supposed
from modelcast.consumers.fetch import LinkSpeeds, Way
from modelcast.infra.stores import MemoryStore
from modelcast.schemas import keys
from modelcast.schemas.digests import sha256_of
from modelcast.schemas.log.fold import ModelLog
from modelcast.schemas.manifest import Manifest
from tests.cli.conftest import BODIES, region_says
from tests.consumers.fetch.publishing import MIB

SLOW, FAST = LinkSpeeds(origin_bytes_per_second=1e6), LinkSpeeds(origin_bytes_per_second=1e10)


def offer(origin: MemoryStore, manifest: Manifest, old: bytes | None, new: bytes) -> str:
    key = keys.delta(manifest.digest, sha256_of(new), sha256_of(old) if old is not None else None)
    origin.put(key, b"delta")
    return key


def test_nothing_of_a_version_that_is_served_already_crosses(
    own: MemoryStore, log: ModelLog, origin: MemoryStore
) -> None:
    holding = reported(own, log.updates[3], region_says(own, log, served=3, staged=3))
    known = planned(origin, own, log, log.updates[3], holding, SLOW, MIB)
    assert {step.way for step in known.steps} == {Way.CACHE}


@pytest.mark.parametrize(("speeds", "seen"), [(SLOW, True), (FAST, False)])
def test_offers_of_earlier_versions_count_where_the_region_would_look_for_them(
    origin: MemoryStore, log: ModelLog, manifests: dict[int, Manifest], speeds: LinkSpeeds, seen: bool
) -> None:
    compressed = offer(origin, manifests[1], None, BODIES[0])
    known = planned(origin, None, log, log.updates[3], RegionHoldings({}), speeds, MIB)
    assert (compressed in {o.key for o in known.chooser.offers}) == seen


def test_a_delta_is_chosen_as_the_region_would_choose_it(
    origin: MemoryStore, log: ModelLog, manifests: dict[int, Manifest]
) -> None:
    offer(origin, manifests[3], BODIES[2], BODIES[3])
    known = planned(origin, None, log, log.updates[3], supposed(log, [2]), SLOW, MIB)
    assert [step.label.one for step in known.steps] == ["whole", "delta from 2"]
    too_small = planned(origin, None, log, log.updates[3], supposed(log, [2]), SLOW, 64 * MIB)
    assert [step.way for step in too_small.steps] == [Way.WHOLE, Way.WHOLE]


def test_versions_from_which_deltas_start_are_named_also_if_they_are_not_held(
    origin: MemoryStore, log: ModelLog, manifests: dict[int, Manifest]
) -> None:
    offer(origin, manifests[3], BODIES[2], BODIES[3])
    known = planned(origin, None, log, log.updates[3], RegionHoldings({}), SLOW, MIB)
    left_out = [way for file in known.explained for way in file.ways if way.seconds is None]
    assert [(way.label, way.why) for way in left_out] == [
        ("delta from 2", "its base of version 2 is not held, and nothing leads there")
    ]
