"""The deciders' policy as a region's settings say it: for the region, its fleets, and each model."""

from typing import Any

from modelcast.agents.region.decider.events_and_effects import PodTraits
from modelcast.agents.region.decider.policy import Policy
from modelcast.agents.region.decider.rollover_policy import RolloverPolicy
from modelcast.infra.settings import RegionSettings
from modelcast.infra.settings_fleets import FleetSettings
from modelcast.infra.settings_rollovers import RolloverSettings
from modelcast.schemas.text.amounts import Amount

_AMOUNTS = frozenset({"at_once", "min_healthy"})


def policy_for(settings: RegionSettings, model: str) -> Policy:
    """How patient the reconciler of ``model`` is. What is set for a model holds before its fleet's and region's."""
    here, own = settings.rollover, settings.rollover.models.get(model, RolloverSettings())
    return Policy(
        read_every=settings.read_back_seconds,
        rollover=_rollover(here, own),
        fleet_rollovers={
            fleet_name(number): _rollover(here, fleet.rollover, own)
            for number, fleet in enumerate(settings.fleets)
            if fleet.rollover.model_fields_set
        },
    )


def traits_of(number: int, fleet: FleetSettings) -> PodTraits:
    """Where the pods of a region's fleet stand; ``number`` is its place among ``RegionSettings.fleets``."""
    return PodTraits(fleet_name(number) if fleet.rollover.model_fields_set else "", fleet.zone, fleet.label)


def fleet_name(number: int) -> str:
    """The name of a fleet that has a rollover policy of its own."""
    return f"fleet {number}"


def _rollover(*layers: RolloverSettings) -> RolloverPolicy:
    names = RolloverSettings.model_fields.keys()
    given: dict[str, Any] = {n: getattr(layer, n) for layer in layers for n in layer.model_fields_set & names}
    amounts = {name: Amount.parse(value) for name, value in given.items() if name in _AMOUNTS}
    return RolloverPolicy(**given | amounts)
