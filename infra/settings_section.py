"""A table of the settings."""

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """Unknown names are refused, and nothing changes it."""

    model_config = ConfigDict(extra="forbid", frozen=True)
