"""What people write about rollovers, and the policy that a reconciler gets of it."""

from pathlib import Path

import pytest

from modelcast.agents.region.decider.events_and_effects import PodTraits
from modelcast.agents.region.decider.rollover_policy import RolloverPolicy
from modelcast.agents.region.rollover_settings import policy_for, traits_of
from modelcast.infra.settings import RegionSettings, load_settings
from modelcast.infra.settings_rollovers import RolloverSettings
from modelcast.schemas.errors import UsageError
from modelcast.schemas.text.amounts import Amount

SETTINGS = """
[regions.eu]
pods = ["http://a:1"]
[regions.eu.rollover]
at_once = "10%"
pause_seconds = 30
[regions.eu.rollover.models.fraud]
at_once = 1
stop_after_failures = 2
[[regions.eu.fleet]]
pods = ["http://b:1"]
zone = "z1"
[[regions.eu.fleet]]
pods = ["http://c:1"]
rollover = { at_once = 3, min_healthy = 2 }
"""


def region_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> RegionSettings:
    path = tmp_path / "modelcast.toml"
    path.write_text(text)
    monkeypatch.setenv("MODELCAST_CONFIG", str(path))
    return load_settings().region("eu")


def test_without_settings_the_policy_is_the_default() -> None:
    assert policy_for(RegionSettings(), "fraud").rollover == RolloverPolicy()
    shown = RolloverSettings()
    assert {name: str(getattr(RolloverPolicy(), name)) for name in RolloverSettings.model_fields} == {
        name: str(getattr(shown, name)) for name in RolloverSettings.model_fields
    }


def test_what_is_set_for_a_model_holds_before_its_fleet_and_that_before_its_region(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = region_of(tmp_path, monkeypatch, SETTINGS)
    assert policy_for(here, "spam").rollover == RolloverPolicy(Amount(10, percent=True), pause_seconds=30)
    assert policy_for(here, "fraud").rollover == RolloverPolicy(Amount(1), pause_seconds=30, stop_after_failures=2)
    own = RolloverPolicy(Amount(3), Amount(2), pause_seconds=30)
    assert policy_for(here, "spam").fleet_rollovers == {"fleet 2": own}
    assert policy_for(here, "fraud").rollover_of("fleet 2") == RolloverPolicy(
        Amount(1), Amount(2), pause_seconds=30, stop_after_failures=2
    )
    traits = [traits_of(number, fleet) for number, fleet in enumerate(here.fleets)]
    assert traits == [
        PodTraits(source="settings"),
        PodTraits(zone="z1", source="settings"),
        PodTraits("fleet 2", source="settings"),
    ]


@pytest.mark.parametrize(
    ("said", "named"),
    [
        ("at_once = 0", "with 0 at once no pod would ever get a version"),
        ('at_once = "0%"', "with 0 at once no pod would ever get a version"),
        ('at_once = "a few"', 'write a number of pods, as 2, or a share of them, as "25%"'),
        ('min_healthy = "120%"', "no share is more than 100%"),
        ("pause_seconds = -1", "regions.eu.rollover.pause_seconds"),
        ('order = "size"', "regions.eu.rollover.order"),
        ("at_onse = 2", "regions.eu.rollover.at_onse"),
        ("stop_after_failures = 1.5", "regions.eu.rollover.stop_after_failures"),
        ("[regions.eu.rollover.models.Fraud]\nat_once = 1", "Fraud"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str, named: str
) -> None:
    with pytest.raises(UsageError) as refused:
        region_of(tmp_path, monkeypatch, f"[regions.eu.rollover]\n{said}\n")
    assert named in str(refused.value)


def test_variables_say_it_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELCAST_REGIONS__EU__ROLLOVER__AT_ONCE", "3")
    monkeypatch.setenv("MODELCAST_REGIONS__EU__ROLLOVER__MIN_HEALTHY", "75%")
    assert policy_for(load_settings().region("eu"), "fraud").rollover == RolloverPolicy(
        Amount(3), Amount(75, percent=True)
    )
