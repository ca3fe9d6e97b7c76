"""The page in Debian's headless Chromium: processor time of its main thread, nodes, first paint."""

import shutil
import time
from typing import Any

from tests.bench.watching.fleet import behind, names, states
from tests.dashboard.browser.conftest import PROGRAMS, Shown

SETTLE_MS = 1500


def measure(models: int, regions: int) -> dict[str, float]:
    """Open the page over a fleet, change some of it, and read Chromium's own counters."""
    from playwright.sync_api import sync_playwright

    program = next(path for name in PROGRAMS if (path := shutil.which(name)))
    shown = Shown()
    try:
        fleet = {each.model: each for each in states(models, regions)}
        shown.say(fleet)
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
            try:
                return _measured(browser, shown, fleet, regions)
            finally:
                browser.close()
    finally:
        shown.stop()


def _measured(browser: Any, shown: Shown, fleet: dict[str, Any], regions: int) -> dict[str, float]:
    page = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable")

    def spent_ms() -> float:
        metrics = {each["name"]: each["value"] for each in session.send("Performance.getMetrics")["metrics"]}
        return 1000 * float(metrics["ScriptDuration"] + metrics["LayoutDuration"] + metrics["RecalcStyleDuration"])

    page.goto(shown.url + "/")
    page.wait_for_selector("canvas")
    page.wait_for_timeout(SETTLE_MS)
    started = spent_ms()
    paint = page.evaluate("() => performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? -1")
    quiets = []
    for _ in range(3):
        before = spent_ms()
        page.wait_for_timeout(SETTLE_MS)
        quiets.append(spent_ms() - before)
    quiet = min(quiets)

    def beyond_quiet(send: Any) -> float:
        before = spent_ms()
        send()
        page.wait_for_timeout(SETTLE_MS)
        return spent_ms() - before - quiet

    few = min(len(fleet), 2000 // regions)
    pairs = [(m, r, "LAG", 0) for m in names(few, "model") for r in names(regions, "region")]
    region = [(m, "region-000", "LATE", 0) for m in fleet]

    def send(rows: list[Any]) -> None:
        shown.loop.call_soon_threadsafe(shown.board.stream.send, "pairs", rows, time.monotonic())

    changed = {m: behind(fleet[m], 10.0) for m in names(few, "model")}
    return {
        "start_ms": started,
        "first_contentful_paint_ms": paint,
        "pairs_2000_ms": beyond_quiet(lambda: send(pairs)),
        "region_ms": beyond_quiet(lambda: send(region)),
        "news_of_2000_pairs_ms": beyond_quiet(lambda: shown.say(fleet | changed)),
        "nodes": page.evaluate("() => document.querySelectorAll('*').length"),
    }
