"""Is a candidate harmful, harmless, or is it too early to say? Sequential tests on counts of requests. Pure.

Counts of one second and stratum are folded into a state (``verdict.step``), and a state with a plan gives a verdict
(``verdict.verdict``), as often as one likes. ``forecast`` says beforehand how long that takes, ``replay`` computes a
verdict again from kept counts.
"""

__all__ = [
    "bandit",
    "counts",
    "forecast",
    "gates",
    "kinds",
    "means",
    "outcomes",
    "portable_math",
    "prediction_forecast",
    "predictions",
    "ratio",
    "replay",
    "verdict",
]
