"""Files of this machine: written aside and renamed, locked, read ahead."""

__all__ = ["files", "locks", "read_ahead"]
