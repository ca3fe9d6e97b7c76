"""What a plan rests on: what the region said it holds and when, and how fast its link is."""

import pytest

from modelcast.cli.plan_knowledge import RegionHoldings, holding_in_words, reported, speeds_of, supposed
from modelcast.consumers.fetch import LinkSpeeds
from modelcast.infra.settings import RedisSettings, RegionSettings, Settings
from modelcast.infra.stores import MemoryStore
from modelcast.schemas import keys
from modelcast.schemas.errors import NotFound
from modelcast.schemas.log.fold import ModelLog
from modelcast.schemas.manifest import Manifest
from tests.cli.conftest import region_says


def test_what_the_region_said_is_told_with_its_age_and_what_its_bucket_has_lost(
    own: MemoryStore, log: ModelLog, manifests: dict[int, Manifest]
) -> None:
    told_us = region_says(own, log, served=1, staged=2)
    own.put(keys.manifest(manifests[2].digest), manifests[2].encode())
    holding = reported(own, log.updates[3], told_us + 12_000_000)
    assert holding == RegionHoldings({1: "served", 2: "staged"}, reported_seconds_ago=12.0, lost=(1,))
    assert holding_in_words(holding, "eu") == (
        "eu holds 1 (served), 2 (staged), as it reported 12 s ago; but its bucket lacks 1"
    )  # fmt: skip


def test_a_version_that_is_served_already_is_said_to_be(own: MemoryStore, log: ModelLog) -> None:
    holding = reported(own, log.updates[3], region_says(own, log, served=3, staged=3))
    assert (holding.wanted, dict(holding.versions)) == ("served", {})
    assert holding_in_words(holding, "eu").startswith(
        "eu serves it already and holds no other version, as it reported "
    )
    assert holding_in_words(RegionHoldings({2: "served"}, "staged", 0.0), "eu").startswith(
        "eu has it staged already and holds 2 (ser"
    )


def test_a_region_that_has_said_nothing_and_one_that_is_supposed_to_hold_something_are_told_apart(
    own: MemoryStore, log: ModelLog
) -> None:
    assert (
        holding_in_words(reported(own, log.updates[3], 0), "eu") == "eu has not reported what it holds: nothing, then"
    )
    assert holding_in_words(supposed(log, [2, 1]), "eu") == "eu is supposed to hold 1, 2 and nothing else"
    with pytest.raises(NotFound):
        supposed(log, [9])


@pytest.mark.parametrize(("limit", "rate"), [(1_000_000, 1e6), (10**12, LinkSpeeds().origin_bytes_per_second)])
def test_no_guess_is_above_the_limit_of_the_settings(limit: int, rate: float) -> None:
    nobody = RedisSettings.model_validate({"url": "redis://127.0.0.1:1/0"})
    settings = Settings(redis=nobody, regions={"eu": RegionSettings(bandwidth_bytes_per_second=limit)})
    speeds, known_from = speeds_of(settings, "eu", None)
    assert speeds.origin_bytes_per_second == rate
    assert not speeds.measured
    assert "not measured it" in known_from
