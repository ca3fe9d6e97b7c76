"""Files of this machine: written aside and renamed, locked, read ahead."""

__all__ = ["copies", "files", "locks", "read_ahead", "syncing", "user_cache"]
