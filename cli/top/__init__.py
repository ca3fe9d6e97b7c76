"""``modelcast top``: the dashboard's pages NOW and MODEL in a terminal."""

__all__ = ["app", "feeds"]
