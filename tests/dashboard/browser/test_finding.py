"""Finding one's way on the page: by status, by name, by group of regions, and by what happened just before."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.dashboard import overviews
from tests.dashboard.browser.conftest import Shown
from tests.dashboard.browser.test_pages import entries

pytestmark = [pytest.mark.real, pytest.mark.timeout(120)]
Look, Keep = Callable[..., Any], Callable[..., bytes]


def test_a_status_or_a_part_of_a_name_finds_lines_and_models(shown: Shown, look: Look) -> None:
    shown.say(overviews.everything(), entries=entries()[:1])
    page = look("/")
    assert page.locator(".problems .row").count() == 6
    page.get_by_role("button", name="LATE").click()
    page.get_by_role("heading", name="1 model with “LATE”").wait_for()
    assert page.locator(".problems .row").all_inner_texts()[0].startswith("▮ LATE")
    assert page.locator("section[aria-label=models] tbody th").all_inner_texts() == ["ranker"]
    page.get_by_role("button", name="all …").click()
    page.get_by_role("heading", name="10 models", exact=True).wait_for()
    page.keyboard.press("/")
    page.keyboard.type("search")
    page.get_by_role("heading", name="1 model with “search”").wait_for()
    page.keyboard.press("Escape")
    page.get_by_role("heading", name="10 models", exact=True).wait_for()


def test_what_rolls_out_and_when_things_began_is_shown(shown: Shown, look: Look, keep: Keep) -> None:
    shown.say(overviews.everything(), entries=entries()[:1])
    page = look("/", width=1100, height=1050)
    line = page.locator(".rollouts tbody tr")
    line.wait_for()
    cells = dict(
        zip(line.locator("td").evaluate_all("all => all.map(each => each.dataset.label)"),
            line.locator("td").all_inner_texts(), strict=True)
    )  # fmt: skip
    assert (cells["regions that serve it"].strip(), cells["late after"], cells["waits for"]) == (
        "5/7",
        "60 s",
        "us-west",
    )
    assert "—" not in cells.values()
    assert page.locator(".strip .entry").count() == 1
    assert page.locator(".strip .onset").count() >= 2
    assert "—" not in " ".join(page.locator(".problems .row").all_inner_texts())
    keep(page, "dashboard", full=False)  # docs/dashboard.png


def test_regions_can_be_seen_by_their_groups(shown: Shown, look: Look) -> None:
    shown.say(overviews.large(20, 40))
    page = look("/")
    page.get_by_role("button", name="groups", exact=True).click()
    page.get_by_role("heading", name="20 models × 4 groups").wait_for()
    canvas = page.locator("canvas")
    canvas.focus()
    page.keyboard.press("ArrowDown")
    assert "ap: SILENT" in page.locator(".cell").inner_text()
    page.get_by_role("button", name="regions", exact=True).click()
    page.get_by_role("heading", name="20 models × 40 regions").wait_for()


def test_the_copied_text_leads_back_to_this_moment(shown: Shown, look: Look) -> None:
    shown.say(overviews.late())
    page = look("/")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="copy the verdict as text").click()
    text = page.evaluate("() => navigator.clipboard.readText()")
    assert text.splitlines()[0].startswith("[LATE] 1 of 10 models is late")
    assert "/history?model=ranker&at=20" in text.splitlines()[-1]
