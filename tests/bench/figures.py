"""What every benchmark's JSON has: the conditions that it ran under, and medians with minimum and maximum."""

import os
import platform
import statistics
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any


def conditions() -> dict[str, Any]:
    """Machine, Python, date and the load of the last minute; called before anything is measured."""
    return {
        "cores": os.cpu_count(),
        "cpu": platform.processor() or platform.machine(),
        "python": sys.version,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "load_at_start": os.getloadavg()[0],
    }


def spread(values: Sequence[float]) -> dict[str, float]:
    """Median, minimum and maximum."""
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def promise(found: float, at_most: float) -> dict[str, Any]:
    """A promise as ``make bench --strict`` judges it: what was found, and whether it is held."""
    return {"found": found, "at_most": at_most, "held": found <= at_most}
