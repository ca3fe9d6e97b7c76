"""Where this user's programs keep what they can fetch or make again."""

import os
from pathlib import Path


def user_cache() -> Path | None:
    """``modelcast`` in ``XDG_CACHE_HOME``, else in ``~/.cache``; None: this user has no home.

    A container's user may have neither a ``HOME`` nor an entry in ``passwd``.
    """
    try:
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    except RuntimeError:
        return None
    return cache / "modelcast"


def user_bases() -> Path | None:
    """Where bases of deltas are kept unless the settings name a folder; None: nowhere."""
    cache = user_cache()
    return cache / "bases" if cache else None
