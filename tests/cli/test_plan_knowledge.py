"""What a plan rests on: what the region said it holds and when, and what the store offers."""

import pytest

from modelcast.agents.region.decider.memory import Held, Memory
from modelcast.cli.plan_knowledge import Holding, in_words, planned, reported, speeds_of, supposed
from modelcast.consumers.fetch import LinkSpeeds, Way
from modelcast.infra.settings import RedisSettings, RegionSettings, Settings
from modelcast.infra.stores import MemoryStore
from modelcast.schemas import keys
from modelcast.schemas.digests import sha256_of
from modelcast.schemas.errors import NotFound
from modelcast.schemas.log.fold import ModelLog
from modelcast.schemas.manifest import Manifest
from modelcast.schemas.records import ArtifactRef, ModelUpdate
from tests.consumers.fetch.publishing import MIB, noise, publish

BODIES = [noise(2 * MIB, seed) for seed in range(4)]
SLOW, FAST = LinkSpeeds(origin_bytes_per_second=1e6), LinkSpeeds(origin_bytes_per_second=1e10)


@pytest.fixture
def origin() -> MemoryStore:
    return MemoryStore("origin")


@pytest.fixture
def own() -> MemoryStore:
    return MemoryStore("eu")


@pytest.fixture
def manifests(origin: MemoryStore) -> dict[int, Manifest]:
    """Version 3 shares a file with version 1."""
    files = {1: {"w": BODIES[1], "same": BODIES[0]}, 2: {"w": BODIES[2]}, 3: {"w": BODIES[3], "same": BODIES[0]}}
    return {version: publish(origin, each) for version, each in files.items()}


@pytest.fixture
def log(manifests: dict[int, Manifest]) -> ModelLog:
    log = ModelLog("fraud", "r")
    for version, manifest in manifests.items():
        digest = manifest.digest
        artifact = ArtifactRef("origin", keys.manifest(digest), digest, manifest.size_bytes, len(manifest.files), "")
        log = log.apply(ModelUpdate("r", f"e{version}", "fraud", version, version, artifact, 1))
    return log


def say(own: MemoryStore, log: ModelLog, served: int, staged: int) -> int:
    """The region says what it holds; when, in microseconds."""
    held = {how: Held.of(log.updates[v], v) for how, v in (("served", served), ("staged", staged))}
    memory = Memory("r", "fraud", "eu", 1, **held)  # type: ignore[arg-type]
    own.put(keys.region_state("fraud"), memory.encode())
    info = own.head(keys.region_state("fraud"))
    assert info is not None
    return info.last_modified_us


def offer(origin: MemoryStore, manifest: Manifest, old: bytes | None, new: bytes) -> str:
    key = keys.delta(manifest.digest, sha256_of(new), sha256_of(old) if old is not None else None)
    origin.put(key, b"delta")
    return key


def test_what_the_region_said_is_told_with_its_age_and_what_its_bucket_has_lost(
    own: MemoryStore, log: ModelLog, manifests: dict[int, Manifest]
) -> None:
    told_us = say(own, log, served=1, staged=2)
    own.put(keys.manifest(manifests[2].digest), manifests[2].encode())
    holding = reported(own, log.updates[3], told_us + 12_000_000)
    assert holding == Holding({1: "served", 2: "staged"}, told_seconds_ago=12.0, lost=(1,))
    assert in_words(holding, "eu") == (
        "eu holds 1 (served), 2 (staged), as it said 12 s ago; but its bucket lacks 1"
    )  # fmt: skip


def test_a_version_that_is_served_already_is_said_to_be(own: MemoryStore, log: ModelLog, origin: MemoryStore) -> None:
    holding = reported(own, log.updates[3], say(own, log, served=3, staged=3))
    assert (holding.wanted, dict(holding.versions)) == ("served", {})
    assert in_words(holding, "eu").startswith("eu serves it already and holds no other version, as it said ")
    known = planned(origin, own, log, log.updates[3], holding, SLOW, MIB)
    assert {step.way for step in known.steps} == {Way.CACHE}
    assert in_words(Holding({2: "served"}, "staged", 0.0), "eu").startswith("eu has it staged already and holds 2 (ser")


def test_a_region_that_has_said_nothing_and_one_that_is_supposed_to_hold_something_are_told_apart(
    own: MemoryStore, log: ModelLog
) -> None:
    assert in_words(reported(own, log.updates[3], 0), "eu") == "eu has not said what it holds: nothing, then"
    assert in_words(supposed(log, [2, 1]), "eu") == "eu is supposed to hold 1, 2 and nothing else"
    with pytest.raises(NotFound):
        supposed(log, [9])


@pytest.mark.parametrize(("speeds", "seen"), [(SLOW, True), (FAST, False)])
def test_offers_of_earlier_versions_count_where_the_region_would_look_for_them(
    origin: MemoryStore, log: ModelLog, manifests: dict[int, Manifest], speeds: LinkSpeeds, seen: bool
) -> None:
    packed = offer(origin, manifests[1], None, BODIES[0])
    known = planned(origin, None, log, log.updates[3], Holding({}), speeds, MIB)
    assert (packed in {o.key for o in known.chooser.offers}) == seen


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
    known = planned(origin, None, log, log.updates[3], Holding({}), SLOW, MIB)
    left_out = [way for file in known.explained for way in file.ways if way.seconds is None]
    assert [(way.label, way.why) for way in left_out] == [
        ("delta from 2", "its base of version 2 is not held, and nothing leads there")
    ]


@pytest.mark.parametrize(("limit", "rate"), [(1_000_000, 1e6), (10**12, LinkSpeeds().origin_bytes_per_second)])
def test_no_guess_is_above_the_limit_of_the_settings(limit: int, rate: float) -> None:
    nobody = RedisSettings.model_validate({"url": "redis://127.0.0.1:1/0"})
    settings = Settings(redis=nobody, regions={"eu": RegionSettings(bandwidth_bytes_per_second=limit)})
    speeds, told_by = speeds_of(settings, "eu", None)
    assert speeds.origin_bytes_per_second == rate
    assert not speeds.measured
    assert "not measured it" in told_by
