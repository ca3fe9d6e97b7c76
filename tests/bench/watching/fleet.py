"""A fleet of many models and regions, as the tracker reports it."""

import time
from collections.abc import Iterator
from dataclasses import replace

from modelcast.schemas.records import PodReport, VersionState
from modelcast.schemas.states import PodState
from tests.dashboard.makers import SECOND, as_of_now, fetching, row, state

DIGEST = "sha256:" + "7" * 64
PODS_NAMED = 1_300
"""So many pods fit into one state; the tracker names no more."""


def names(count: int, kind: str) -> list[str]:
    """``model-000`` and so on."""
    return [f"{kind}-{n:03}" for n in range(count)]


def states(models: int, regions: int, pods: int = 0) -> Iterator[VersionState]:
    """All is well; each region has ``pods`` pods, of which those that fit are named."""
    now_us = time.time_ns() // 1000
    named = min(pods, PODS_NAMED // regions)
    for model in names(models, "model"):
        reports = tuple(
            PodReport(f"{model}-{n:04}.pods.example", PodState.SERVING, 7, DIGEST, 7, f"i-{n}", now_us)
            for n in range(named)
        )
        rows = [
            replace(as_of_now(row(region)), pods=reports, pods_omitted=pods - named, pods_expected=2)
            for region in names(regions, "region")
        ]
        yield state(model, rows, updated_at_us=now_us)


def behind(of: VersionState, seconds: float) -> VersionState:
    """The same model, of which every region fetches version 8."""
    rows = [as_of_now(fetching(each.region, seconds)) for each in of.regions]
    return replace(of, regions=tuple(rows), updated_at_us=of.updated_at_us + SECOND)
