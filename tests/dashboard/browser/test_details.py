"""What a model's and a region's page tell beyond their tables: how far behind it was, the link, disks, owners."""

import re
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from modelcast.dashboard.sources.news import NewsBatch, Reach
from modelcast.dashboard.view.candidates import SeenRollout
from modelcast.dashboard.view.disks import SAMPLE_SECONDS, SAMPLES_MIN
from modelcast.dashboard.view.overview import Worker
from modelcast.schemas.traffic.reports import RolloutRegion, RolloutState
from tests.dashboard import overviews
from tests.dashboard.browser.conftest import Shown, beat
from tests.dashboard.makers import REGISTRY, SECOND
from tests.dashboard.pasts import past

pytestmark = [pytest.mark.real, pytest.mark.timeout(120)]
Look = Callable[..., Any]
Keep = Callable[..., bytes]


def test_a_model_tells_how_far_behind_it_was(shown: Shown, look: Look, keep: Keep) -> None:
    past(shown.origin, time.time_ns() // 1000)
    shown.say(overviews.everything())
    for width, dark in ((1280, False), (360, True)):
        page = look("/models/ranker", width=width, dark=dark)
        page.wait_for_selector(".lags polyline.worst", state="attached")
        told = page.get_by_label("lag", exact=True).locator(".notes").inner_text()
        assert "at most" in told
        assert page.locator(".lags .entry").count() == 3
        keep(page, f"model-lag-{width}-{'dark' if dark else 'light'}")
        page.close()


def test_a_region_tells_what_its_link_its_disk_and_its_clock_do(shown: Shown, look: Look, keep: Keep) -> None:
    states = overviews.late()
    shown.say(states)
    now_us = time.time_ns() // 1000
    taken = replace(states["churn"].regions[4], owner_epoch=1)
    for epoch in (1, 2):
        rows = tuple(replace(r, owner_epoch=epoch) if r.region == taken.region else r for r in states["churn"].regions)
        shown.say(states | {"churn": replace(states["churn"], regions=rows, updated_at_us=now_us + epoch)})
    for turn in range(SAMPLES_MIN):
        heard = replace(beat("us-west", now_us - 90 * SECOND), disk_free_bytes=(100 - turn) * 10**9)
        workers = {"us-west": (Worker(heard, now_us),)}
        shown.take(NewsBatch("redis", Reach.LIVE, workers=workers))
        shown.board.disks.sample(workers, turn * SAMPLE_SECONDS)
    page = look("/regions/us-west")
    page.get_by_label("link").get_by_text("KiB/s").first.wait_for()
    page.get_by_text(re.compile(r"full in \d+ min")).wait_for()
    page.get_by_text("its clock is").wait_for()
    page.get_by_label("takeovers").get_by_text("churn").wait_for()
    keep(page, "region-details")
    page.close()


def candidate(phase: str, cut: str = "", why: str = "") -> NewsBatch:
    """What a controller reports of ranker/43, which was tried in eu-west and stands by in us-west."""
    now_us = time.time_ns() // 1000
    regions = (
        RolloutRegion("eu-west", 0, 1000, 0 if cut else 1000, not cut, 3, 2, 4500, 500, now_us, cut),
        RolloutRegion("us-west", -1, 0, 0, True, 3, 0, 0, 0, now_us),
    )
    said = RolloutState(
        REGISTRY, "ranker", "9", 9, phase, "canary", 43, 42, now_us, waves=2, step=1, steps=4, regions=regions,
        verdict="undecided", control_requests=4500, candidate_requests=500, why=why, next="25 % in 3 min",
    )  # fmt: skip
    return NewsBatch("kafka", Reach.LIVE, rollouts=(SeenRollout(said, now_us),))


def test_a_model_tells_how_its_candidate_stands_until_the_rollout_is_over(shown: Shown, look: Look, keep: Keep) -> None:
    shown.say(overviews.everything())
    shown.take(candidate("RUNNING", why="waits for evidence"))
    page = look("/models/ranker", width=360, dark=True)
    section = page.get_by_label("candidate", exact=True)
    section.get_by_role("heading", name="Candidate 43").wait_for()
    told = section.inner_text()
    assert "its canary rollout against 42 is running, wave 1 of 2, step 2 of 4: undecided after 500 requests" in told
    assert "now: waits for evidence" in told
    assert "then: 25 % in 3 min" in told
    granted = section.get_by_role("row").filter(has_text="eu-west").inner_text()
    assert all(part in granted for part in ("10 %", "500 of 5,000 requests", "2/3")), granted
    assert "standby" in section.get_by_role("row").filter(has_text="us-west").inner_text()
    shown.take(candidate("RUNNING", cut="<img src=x onerror=alert(1)> 3 x the errors"))
    section.get_by_text("cut off: <img src=x onerror=alert(1)> 3 x the errors").wait_for()
    keep(page, "model-candidate-360-dark")
    shown.take(candidate("ABORTED", why="harmful in eu-west"))
    section.get_by_text("is aborted").wait_for()
    assert (section.get_by_role("table").count(), "harmful in eu-west" in section.inner_text()) == (0, True)
    section.get_by_text("modelcast rollout explain ranker").wait_for()
    page.close()
