"""The rollout controller: lets candidates earn traffic, inside what the registry log grants."""

__all__ = ["runner"]
