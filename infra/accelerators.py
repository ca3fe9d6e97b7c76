"""What makes the road faster where it is installed, found by name: nothing on the road imports it.

A package offers an accelerator as an entry point of the group ``modelcast.accelerators``; ``fetch`` and ``publish``
are the names that are asked for. Without it everything is brought and published whole.
"""

import logging
from functools import cache
from importlib.metadata import entry_points

GROUP = "modelcast.accelerators"

_logger = logging.getLogger(__name__)


@cache
def load(name: str) -> object | None:
    """What the entry point ``name`` stands for; None: it, or a library that it needs, is not installed."""
    for point in entry_points(group=GROUP, name=name):
        try:
            found: object = point.load()
        except ImportError as error:
            missing = error.name or ""
            gone = f"{point.module}.".startswith(f"{missing}.")  # of its own package, which was taken away
            if missing.split(".")[0] == "modelcast" and not gone:
                raise
            _logger.info("not used: %s, which needs %s", point.value, missing or error)
        else:
            return found
    return None
