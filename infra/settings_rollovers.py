"""Settings of rollovers: how a new version goes from pod to pod."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, field_validator

from modelcast.infra.settings_section import Section
from modelcast.schemas.errors import UsageError
from modelcast.schemas.names import check_model
from modelcast.schemas.text.amounts import Amount

Pods = Annotated[str, BeforeValidator(lambda text: str(Amount.parse(text)))]
"""A number of pods, or a share of them, which is rounded down."""


class RolloverSettings(Section):
    """Bounds of a rollover. What a model does not set is as its fleet, its region or the default has it."""

    at_once: Pods = "25%"  # load at once; at least one does
    min_healthy: Pods = "50%"  # go on taking traffic; counts where a swap has a gap
    order: Literal["name", "zone", "random"] = "name"
    jitter_seconds: float = Field(default=0.0, ge=0)  # at most, between two orders
    pause_seconds: float = Field(default=0.0, ge=0)  # between two batches
    min_ready_seconds: float = Field(default=0.0, ge=0)  # a pod must have served for so long before another follows it
    stop_after_failures: int = Field(default=0, ge=0)  # 0: goes on, and tries those that failed again
    deadline_seconds: float = Field(default=0.0, ge=0)  # 0: none

    @field_validator("at_once")
    @classmethod
    def _some(cls, value: str) -> str:
        if not Amount.parse(value).value:
            raise ValueError("with 0 at once no pod would ever get a version; write at least 1")
        return value


class RegionRolloverSettings(RolloverSettings):
    """The bounds of a region, and those of models that have their own."""

    models: dict[str, RolloverSettings] = Field(default_factory=dict)

    @field_validator("models")
    @classmethod
    def _names(cls, value: dict[str, RolloverSettings]) -> dict[str, RolloverSettings]:
        for name in value:
            try:
                check_model(name)
            except UsageError as error:
                raise ValueError(str(error)) from None
        return value
