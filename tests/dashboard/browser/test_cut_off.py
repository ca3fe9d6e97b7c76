"""How soon the page itself says that what it shows is old."""

import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.dashboard import overviews
from tests.dashboard.browser.conftest import Shown
from tests.support.waiting import until

pytestmark = [pytest.mark.real, pytest.mark.timeout(120)]
Look = Callable[..., Any]
TOLD_SECONDS, BUSY_SECONDS = 5.0, 3.0


def state_of(page: Any) -> str:
    return str(page.locator(".fresh .state").inner_text())


def told_within(page: Any, begins: str) -> None:
    began = time.monotonic()
    until(lambda: state_of(page).startswith(begins), lambda: f"the page says {begins!r}; {state_of(page)}", 20)
    assert time.monotonic() - began <= TOLD_SECONDS + BUSY_SECONDS


def test_a_dashboard_that_hangs_is_told_and_its_return_too(shown: Shown, look: Look) -> None:
    shown.say(overviews.overview(3, 3))
    page = look("/")
    until(lambda: state_of(page).startswith("● live"), "the page is live", 10)
    shown.loop.call_soon_threadsafe(time.sleep, 9)
    told_within(page, "◌ reconnecting")
    until(lambda: state_of(page).startswith("● live"), "the page is live again", 20)


def test_a_tracker_that_is_not_heard_is_told_though_all_that_it_said_is_fresh(shown: Shown, look: Look) -> None:
    shown.say(overviews.overview(3, 3))
    page = look("/")
    until(lambda: state_of(page).startswith("● live"), "the page is live", 10)
    shown.tracker_lives = False
    told_within(page, "◐ no tracker was heard for")
    shown.tracker_lives = True
    until(lambda: state_of(page).startswith("● live"), "the page is live again", 10)
