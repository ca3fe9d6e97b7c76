"""What regions served when: archived changes as values, and what they answer. Pure."""

__all__ = ["aspired", "difference", "generation", "lags", "region_timelines", "segments", "timeline"]
