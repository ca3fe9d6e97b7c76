"""HTTP: the API, the event stream, the pages."""

__all__ = ["answers", "app", "rows"]
