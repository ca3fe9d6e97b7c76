"""An open-loop load generator: requests are sent when they are due, whether or not those before were answered."""

__all__ = ["bodies", "generator", "tally"]
