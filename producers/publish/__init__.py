"""Publishing: an artifact is uploaded, its version claimed in the log and announced."""

__all__ = ["publisher"]
