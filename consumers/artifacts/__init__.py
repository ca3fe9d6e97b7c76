"""Versions on this machine: folders whose every file was hashed against the manifest."""

__all__ = ["sources", "verified"]
