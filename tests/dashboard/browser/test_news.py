"""What the page makes of news: what got worse, what is well again, and that ages are of now where nothing changes."""

import re
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from modelcast.dashboard.sources.news import NewsBatch, Reach
from modelcast.schemas.states import State
from modelcast.schemas.unchanged import StatesUnchanged, UnchangedState
from tests.dashboard import overviews
from tests.dashboard.browser.conftest import Shown
from tests.dashboard.makers import REGISTRY, as_of_now, fetching
from tests.support.waiting import until

pytestmark = [pytest.mark.real, pytest.mark.timeout(120)]
Look = Callable[..., Any]
Keep = Callable[..., bytes]


def test_what_gets_worse_has_not_recovered_and_is_read_out_as_what_it_is_now(
    shown: Shown, look: Look, keep: Keep
) -> None:
    shown.say(overviews.overview(3, 3))
    page = look("/")
    told, rows = page.locator("[data-told][aria-live]"), page.locator(".problems .row")
    late = as_of_now(fetching("eu-west", 300))
    for it, status, read_out in (
        (late, "LATE", "fraud in eu-west is LATE"),
        (replace(late, state=State.FAILED, error="out of memory"), "FAILED", "fraud in eu-west is FAILED, was LATE"),
    ):
        states = overviews.overview(3, 3)
        overviews.changed(states, "fraud", "eu-west", it)
        shown.say(states)
        until(lambda text=read_out: told.text_content() == text, lambda: f"it is read out; {told.text_content()}", 10)
        (line,) = rows.all_inner_texts()
        assert status in line
        assert page.locator(".row.recovered").count() == 0
    assert "was LATE until" in line
    keep(page, "now-worse-1280-light")
    shown.say(overviews.overview(3, 3))
    page.locator(".row.recovered").wait_for(timeout=5000)
    assert "FAILED" in rows.inner_text()
    until(lambda: told.text_content() == "fraud in eu-west has recovered from FAILED", "it is read out", 5)


def test_ages_are_of_now_where_nothing_changes(shown: Shown, look: Look) -> None:
    states = overviews.overview(3, 3)
    shown.say(states, age_seconds=70)
    page = look("/models/fraud")

    def spoken_seconds() -> float:
        text = page.locator(".verdict .notes").first.inner_text()
        return float(re.search(r"spoke of it ([0-9.]+) s ago", text)[1])  # type: ignore[index]

    assert 70 <= spoken_seconds() < 90
    now_us = time.time_ns() // 1000
    rows = tuple(UnchangedState(name, each.updated_at_us, now_us, now_us) for name, each in states.items())
    told = StatesUnchanged(REGISTRY, 0, now_us, now_us, rows)
    shown.take(NewsBatch("kafka", Reach.LIVE, unchanged=((told, now_us),)))
    until(lambda: spoken_seconds() < 60, lambda: f"the age is of what was told last; {spoken_seconds()} s", 15)
