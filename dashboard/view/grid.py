"""All pairs in few bytes: a JSON line with the names, then one byte a pair."""

import json

from modelcast.dashboard.view.overview import Overview
from modelcast.schemas.statuses import LOOKS, Status

ABSENT = 255
"""The byte of a pair that there is not."""
_CODES = {status: code for code, status in enumerate(Status)}


def grid(overview: Overview, as_of_us: int) -> bytes:
    """The matrix, models by regions, row after row.

    Returns:
        A line of JSON (``models``, ``regions``, ``statuses``, ``as_of_us``, ``shape``), then models × regions bytes,
        each the place of a status in ``statuses``, or 255.
    """
    models, regions = sorted(overview.models), overview.regions
    column = {region: place for place, region in enumerate(regions)}
    cells = bytearray([ABSENT]) * (len(models) * len(regions))
    for at, model in enumerate(models):
        for region, pair in overview.models[model].pairs.items():
            cells[at * len(regions) + column[region]] = _CODES[pair.status]
    head = {
        "models": models,
        "regions": regions,
        "statuses": [status.value for status in LOOKS],
        "as_of_us": as_of_us,
        "shape": overview.shape,
    }
    return json.dumps(head, separators=(",", ":")).encode() + b"\n" + bytes(cells)
