"""The mechanisms of deltas that a benchmark turns off (``infra/ablation.py``)."""

from modelcast.infra.ablation import Mechanisms

DELTA = "deltas/delta"
"""Deltas from a base, chains of them included."""
CHAIN = "deltas/chain"
"""Deltas whose base is not held, and so has to be made of another first."""
COMPRESSED_WHOLE = "deltas/compressed-whole"
"""Compressed wholes."""
WAITING = "deltas/waiting"
"""A region's waiting for a delta that was announced."""
FORECAST = "deltas/forecast"
"""A publisher's forecasts, by which an announcement waits for deltas."""
NUMBA = "deltas/numba"
"""Compiled kernels of the codec."""

DELTAS = Mechanisms("deltas", frozenset({DELTA, CHAIN, COMPRESSED_WHOLE, WAITING, FORECAST, NUMBA}))
