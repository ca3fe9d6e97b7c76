"""Nobody is kept out: axe finds nothing on any page in any state, and statuses differ without colours."""

import time
from collections.abc import Callable
from itertools import combinations
from typing import Any

import pytest

from modelcast.dashboard.sources.news import NewsBatch, Reach
from modelcast.schemas.statuses import Status
from tests.dashboard import overviews
from tests.dashboard.browser.conftest import Shown
from tests.dashboard.pasts import past
from tests.support.lanes import SOAK

pytestmark = [pytest.mark.real, pytest.mark.timeout(180)]
Look = Callable[..., Any]
PAGES = ("/", "/models/ranker", "/regions/ap-south", "/regions", "/kafka", "/refused", "/history?model=ranker")
STATES = {
    "healthy": overviews.overview,
    "lag": overviews.late,
    "silent": overviews.silent,
    "refused": overviews.refused,
    "old": overviews.overview,
    "broken": overviews.everything,
    "hostile": overviews.hostile,
    "empty": dict,
}
DIFFERENT_PIXELS_MIN = 12
"""Of a cell, at two device pixels a CSS pixel: so many at least differ between two statuses, whatever their colours."""


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [1280, 360])
@pytest.mark.parametrize("name", list(STATES) if SOAK else ["broken", "hostile"])
def test_axe_finds_nothing(shown: Shown, look: Look, name: str, width: int, dark: bool) -> None:
    from axe_playwright_python.base import AXE_FILE_PATH

    axe = AXE_FILE_PATH.read_text()
    shown.say(STATES[name](), age_seconds=200 if name == "old" else 0)
    past(shown.origin, time.time_ns() // 1000)
    shown.groups.take(overviews.groups(), time.time_ns() // 1000)
    if name == "broken":
        shown.tracker_lives = False
        shown.take(NewsBatch("kafka", Reach.AWAY, missing=("Kafka: connection refused",)))
    context, wrong = None, []
    for path in PAGES:
        page = look(path, width=width, dark=dark, context=context)
        context = page.context
        page.wait_for_timeout(200)
        page.evaluate(axe)
        found = page.evaluate("() => axe.run()")
        wrong += [(path, v["id"], [n["html"] for n in v["nodes"]][:2]) for v in found["violations"]]
        page.close()
    look.allow()  # type: ignore[attr-defined]  # a model that there is not is a 404, told on the console
    assert wrong == []


def test_every_status_differs_in_a_greyscale_picture(shown: Shown, look: Look) -> None:
    """The canvas' own pictures, at the size of a large fleet's cells and of a small one's."""
    shown.say(overviews.overview(1, 1))
    page = look("/")
    script = """async ([statuses, width, height]) => {
      const { sprites } = await import('/static/shapes.js');
      return sprites(statuses, width, height, 2).map((picture) => {
        const { data } = picture.getContext('2d').getImageData(0, 0, picture.width, picture.height);
        return Array.from({ length: data.length / 4 }, (_, at) => (data[4 * at + 3] > 96 ? 1 : 0)); }); }"""
    for width, height in ((9, 15), (18, 15)):
        pictures = dict(zip(Status, page.evaluate(script, [[s.value for s in Status], width, height]), strict=True))
        for one, other in combinations(Status, 2):
            differing = sum(a != b for a, b in zip(pictures[one], pictures[other], strict=True))
            assert differing >= DIFFERENT_PIXELS_MIN, f"{one} and {other} at {width} x {height}"
    page.close()
