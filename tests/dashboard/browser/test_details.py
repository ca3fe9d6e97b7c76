"""What a model's and a region's page tell beyond their tables: how far behind it was, the link, disks, owners."""

import re
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from modelcast.dashboard.sources.news import NewsBatch, Reach
from modelcast.dashboard.view.disks import SAMPLE_SECONDS, SAMPLES_MIN
from modelcast.dashboard.view.overview import Worker
from tests.dashboard import overviews
from tests.dashboard.browser.conftest import Shown, beat
from tests.dashboard.makers import SECOND
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
