"""What a person sees, in a real browser. Screenshots go to MODELCAST_SCREENSHOTS, for eyes."""

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from modelcast.dashboard.sources.news import NewsBatch, Reach
from modelcast.dashboard.view.probe import SeenProbe
from modelcast.producers import Publisher
from modelcast.schemas.probes import ProbeRegion, ProbeState
from modelcast.schemas.quantities import duration, size
from modelcast.schemas.records import CommandKind, CommandTarget, Entry, ModelCommand
from tests.dashboard import overviews
from tests.dashboard.browser.conftest import TOKEN, Shown
from tests.dashboard.makers import SECOND, now_state, row
from tests.dashboard.pasts import HOUR_US, REGIONS, past
from tests.producers.fakes import SETTINGS, Heard
from tests.producers.published import log_of
from tests.support.waiting import until

pytestmark = [pytest.mark.real, pytest.mark.timeout(120)]
Look, Keep = Callable[..., Any], Callable[..., bytes]

STATES = {
    "healthy": overviews.overview,
    "late": overviews.late,
    "silent": overviews.silent,
    "refused": overviews.refused,
    "everything": overviews.everything,
    "hostile": overviews.hostile,
    "empty": dict,
}
SEEN = {
    "healthy": "Nothing is wrong. 80 pairs of model and region OK.",
    "late": "1 of 10 models is late in 1 of 8 regions.",
    "silent": "ap-south has not reported in time.",
    "refused": "1 of 10 models has a version that is refused in 8 of 8 regions.",
    "everything": "1 of 10 models has a version that is refused in 1 of 8 regions.",
    "hostile": "1 of 4 models raises an alarm in 3 of 3 regions.",
    "empty": "Nothing is known yet: nothing was published, or no tracker runs.",
}


def entries() -> tuple[tuple[Entry, int], ...]:
    now_us = time.time_ns() // 1000
    pin = ModelCommand("r", "e1", "spam", 7, CommandKind.PIN, (CommandTarget("eu-central", 7),), 1, "anna", "A/B")
    back = ModelCommand(
        "r", "e2", "ranker", 8, CommandKind.ROLLBACK, (CommandTarget("", 7),), 1, "train-3", overviews.EVIL
    )
    return ((pin, now_us - 600 * SECOND), (back, now_us - 60 * SECOND))


def overflows(page: Any) -> int:
    """How many pixels the page is wider than its window."""
    return int(page.evaluate("() => document.documentElement.scrollWidth - document.documentElement.clientWidth"))


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (1280, True), (360, False), (360, True), (3840, True)])
@pytest.mark.parametrize("name", list(STATES))
def test_now_says_what_is_wrong(shown: Shown, look: Look, keep: Keep, name: str, width: int, dark: bool) -> None:
    shown.say(STATES[name](), entries=entries() if name == "everything" else ())
    page = look("/", width=width, dark=dark)
    assert page.locator(".verdict .sentence").inner_text().endswith(SEEN[name])
    until(lambda: page.locator(".fresh .state").inner_text().startswith("● live"), "the page is live", 10)
    keep(page, f"now-{name}-{width}-{'dark' if dark else 'light'}")
    assert overflows(page) <= 0


@pytest.mark.parametrize(
    "path", ["/models/ranker", "/models/fraud", "/regions/ap-south", "/regions", "/kafka", "/refused"]
)
@pytest.mark.parametrize(("width", "dark"), [(1280, False), (360, True)])
def test_the_other_pages_tell_everything_of_one_thing(
    shown: Shown, look: Look, keep: Keep, path: str, width: int, dark: bool
) -> None:
    shown.say(overviews.everything(), entries=entries())
    shown.groups.take(overviews.groups(), time.time_ns() // 1000)
    page = look(path, width=width, dark=dark)
    page.wait_for_selector("main table")
    keep(page, f"{path.strip('/').replace('/', '-')}-{width}-{'dark' if dark else 'light'}")
    assert overflows(page) <= 0


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (1280, True), (360, False), (360, True)])
def test_history_tells_what_was_served_and_how_well_that_is_known(
    shown: Shown, look: Look, keep: Keep, width: int, dark: bool
) -> None:
    now_us = time.time_ns() // 1000
    past(shown.origin, now_us)
    shown.say(overviews.everything())
    at = datetime.fromtimestamp((now_us - HOUR_US * 7 // 4) / 1e6, UTC)
    page = look(f"/history?model=ranker&at={at:%Y-%m-%dT%H:%M:%SZ}", width=width, dark=dark)
    page.wait_for_selector(".lane .piece.BETWEEN")
    page.get_by_text("the region was silent from").wait_for()
    keep(page, f"history-{width}-{'dark' if dark else 'light'}")
    assert overflows(page) <= 0
    page.get_by_role("button", name="3", exact=True).click()
    page.get_by_text(f"slowest {REGIONS[-1]}").wait_for()
    keep(page, f"history-generation-{width}-{'dark' if dark else 'light'}")
    slider = page.get_by_role("slider")
    slider.focus()
    page.keyboard.press("End")
    until(lambda: page.get_by_text("the region was silent from").count() == 0, "the table follows the slider", 5)
    assert "at=" in page.url


def test_history_without_a_model_asks_for_one(shown: Shown, look: Look) -> None:
    shown.say(overviews.everything())
    past(shown.origin, time.time_ns() // 1000)
    page = look("/history")
    page.get_by_role("combobox").select_option("ranker")
    page.wait_for_selector(".lane")
    assert page.url.endswith("/history?model=ranker")


def test_a_hundred_thousand_pairs(shown: Shown, look: Look, keep: Keep) -> None:
    shown.say(overviews.large())
    for width, dark in ((1280, False), (1920, True), (360, False)):
        page = look("/", width=width, dark=dark)
        page.wait_for_selector("canvas")
        keep(page, f"now-large-{width}-{'dark' if dark else 'light'}")
        nodes = page.evaluate("() => document.querySelectorAll('*').length")
        assert nodes <= 2000
        assert overflows(page) <= 0
        page.close()


def test_an_entry_that_is_not_proved_to_be_in_the_log_says_so(shown: Shown, look: Look) -> None:
    (pin, at_us), _ = entries()
    forged = replace(pin, generation=8, event_id="e3", requested_by="eve")
    shown.say(overviews.everything(), entries=((pin, at_us), (forged, at_us)))
    page = look("/")
    page.wait_for_selector(".entries .doubt")
    assert page.locator(".entries li").count() == 2
    (told,) = page.locator(".entries .doubt").all_inner_texts()
    assert told.startswith("not proved: it follows a log with the digest")
    page.close()


def test_what_strangers_say_stays_text(shown: Shown, look: Look) -> None:
    shown.say(overviews.hostile(), entries=entries())
    for path in ("/", "/models/fraud", "/models/ranker", f"/models/{'a' * 63}", "/refused"):
        page = look(path)
        page.wait_for_selector("main section")
        assert page.evaluate("() => window.hacked") is None
        assert page.locator("img, main script").count() == 0
        page.close()


def test_an_old_page_says_so_and_takes_its_ok_back(shown: Shown, look: Look, keep: Keep) -> None:
    shown.say(overviews.overview(10, 8), age_seconds=200)
    page = look("/")
    assert page.locator(".fresh .state").inner_text().startswith("▲ OLD: the tracker last reported 3.")
    assert "This is how things were then" in page.locator(".banner").inner_text()
    assert "80 OK then" in page.locator(".counts").inner_text()
    keep(page, "now-old-1280-light")
    page.emulate_media(color_scheme="dark")
    keep(page, "now-old-1280-dark")


def test_a_dashboard_that_ended_is_noticed_and_its_return_too(shown: Shown, look: Look, keep: Keep) -> None:
    shown.say(overviews.overview(10, 8))
    page = look("/")
    until(lambda: page.locator(".fresh .state").inner_text().startswith("● live"), "the page is live")
    shown.stop()
    until(lambda: page.locator(".fresh .state").inner_text().startswith("◌ reconnecting"), "the page notices", 15)
    assert "does not answer" in page.locator(".banner").inner_text()
    keep(page, "now-cut-off-1280-light")
    look.allow()  # type: ignore[attr-defined]  # what was cut off is told on the console


def test_kafka_away_is_named_and_the_rest_is_shown(shown: Shown, look: Look, keep: Keep) -> None:
    shown.say(overviews.overview(10, 8))
    shown.take(NewsBatch("kafka", Reach.AWAY, missing=("Kafka: connection refused",)))
    page = look("/")
    assert "Kafka is away" in page.locator(".fresh .state").inner_text()
    assert "connection refused" in page.locator(".banner").inner_text()
    assert "80 OK" in page.locator(".counts").inner_text()
    keep(page, "now-kafka-away-1280-light")


def test_news_arrive_without_a_reload_and_what_recovered_is_told(shown: Shown, look: Look, keep: Keep) -> None:
    shown.say(overviews.overview(10, 8))
    page = look("/")
    shown.say(overviews.late())
    page.get_by_text("1 of 10 models is late").wait_for(timeout=5000)
    assert page.locator(".problems .row").count() == 2
    shown.say(overviews.overview(10, 8))
    page.get_by_text("Nothing is wrong.").wait_for(timeout=5000)
    assert page.locator(".row.recovered").count() == 1  # the one that was late, not the one that rolled out
    keep(page, "now-recovered-1280-light")


def test_the_keyboard_is_enough(shown: Shown, look: Look) -> None:
    shown.say(overviews.everything())
    page = look("/")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.keyboard.press("j")
    first = page.evaluate("() => document.activeElement.textContent")
    page.keyboard.press("j")
    assert page.evaluate("() => document.activeElement.textContent") != first
    page.keyboard.press("k")
    assert page.evaluate("() => document.activeElement.textContent") == first
    command = page.evaluate("() => document.activeElement.closest('.row').querySelector('[data-command]').textContent")
    page.keyboard.press("c")
    until(lambda: page.evaluate("() => navigator.clipboard.readText()") == command, "the command is copied", 5)
    page.keyboard.press("/")
    page.keyboard.type("out of memory")
    until(lambda: page.locator(".problems .row").count() == 1, "only that line is shown", 5)
    page.keyboard.press("Escape")
    until(lambda: page.locator(".problems .row").count() > 1, "all lines are back", 5)
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    page.wait_for_url("**/regions/ap-south")


def test_the_matrix_says_its_cells_to_whoever_walks_over_them(shown: Shown, look: Look) -> None:
    shown.say(overviews.silent())
    page = look("/")
    canvas = page.locator("canvas")
    assert "10 models by 8 regions: 10 SILENT, 70 OK." in canvas.get_attribute("aria-label")
    canvas.focus()
    page.keyboard.press("ArrowDown")
    assert page.locator(".cell").inner_text() == "ads-ctr in ap-east: OK"
    page.keyboard.press("ArrowRight")
    assert page.locator(".cell").inner_text() == "ads-ctr in ap-south: SILENT"
    page.keyboard.press("Enter")
    page.wait_for_url("**/models/ads-ctr")


def test_nine_tabs_share_one_stream(shown: Shown, look: Look) -> None:
    shown.say(overviews.overview(3, 3))
    first = look("/")
    pages = [first, *(look("/", context=first.context) for _ in range(8))]
    until(lambda: all(p.locator(".fresh .state").inner_text().startswith("● live") for p in pages), "all are live", 15)
    assert len(shown.board.stream.watchers) == 1


def test_figures_read_the_same_as_everywhere(shown: Shown, look: Look) -> None:
    shown.say(overviews.overview(1, 1))
    page = look("/")
    seconds = [
        -1,
        0.04,
        0.42,
        9.94,
        9.96,
        48.4,
        99.4,
        99.6,
        180,
        372,
        840,
        5940,
        5999,
        11_520,
        172_799,
        172_800,
        216_000,
        518_400,
    ]
    sizes = [0, 1, 1023, 1024, 1536, 12 * 2**20, 700 * 2**30, 2**50]
    script = (
        "async ([seconds, sizes]) => { const f = await import('/static/format.js');"
        " return [seconds.map(f.duration), sizes.map(f.size)]; }"
    )
    durations, amounts = page.evaluate(script, [seconds, sizes])
    assert durations == [duration(each) for each in seconds]
    assert amounts == [size(each) for each in sizes]


def test_the_matrix_is_quick(shown: Shown, look: Look) -> None:
    shown.say(overviews.large())
    page = look("/")
    page.wait_for_selector("canvas")
    page.wait_for_timeout(500)
    script = """() => { const box = document.querySelector('.matrix'), took = [];
      for (let n = 0; n < 20; n += 1) {
        const began = performance.now();
        box.scrollTop = 60 * n; box.dispatchEvent(new Event('scroll')); took.push(performance.now() - began); }
      return took.sort((a, b) => a - b)[10]; }"""
    assert page.evaluate(script) < 50  # a median of about 5 ms on an idle core; a whole table would take 300


def test_the_api_is_described_as_openapi_wants_it() -> None:
    from openapi_spec_validator import validate

    from modelcast.dashboard.web.openapi import document

    validate(document())


def test_a_command_is_looked_at_before_it_is_given(shown: Shown, look: Look, keep: Keep, tmp_path: Path) -> None:
    with Publisher(SETTINGS, store=shown.origin, announcer=Heard()) as publisher:
        for number in (1, 2):
            (tmp_path / "model").write_text(str(number))
            publisher.publish("fraud", tmp_path / "model")
    shown.say({"fraud": now_state("fraud", [row("eu"), row("us")], head_generation=2)})
    page = look("/models/fraud", width=1280)
    page.get_by_role("button", name="command from here").click()
    page.locator("form.actions select").first.focus()
    page.keyboard.press("j")  # it looks for a choice, and moves to no row
    assert page.evaluate("() => document.activeElement.tagName") == "SELECT"
    page.get_by_label("token").fill(TOKEN)
    page.get_by_label("version").fill("1")
    page.get_by_label("why").fill("A/B")
    page.get_by_role("button", name="show what it would change").click()
    page.get_by_text("2 of 2 regions would serve another version:").wait_for()
    keep(page, "command")
    now = page.get_by_role("button", name="pin now")
    assert now.is_disabled()  # all regions: the name must be typed
    assert log_of(shown.origin).head == 2
    page.get_by_label("type fraud to confirm").fill("fraud")
    now.click()
    page.get_by_text("Written as generation 3, by anna.").wait_for()
    assert (log_of(shown.origin).head, log_of(shown.origin).aspired_version("us")) == (3, 1)
    page.get_by_label("why").fill("")  # with a reason it would be written again
    page.get_by_role("button", name="show what it would change").click()
    page.get_by_text("It would change nothing").wait_for()
    assert page.evaluate("() => [localStorage.length, sessionStorage.length, document.cookie]") == [0, 0, ""]


def probed() -> NewsBatch:
    """A probe that one region did not answer."""
    now_us = time.time_ns() // 1000
    rows = [ProbeRegion(name, now_us, 0.09, True, 0) for name in ("eu-west", "us-east", "us-west")]
    rows.append(ProbeRegion("ap-south", now_us - 900 * SECOND, None, True, 2))
    state = ProbeState(
        "registry", 4, "probe", "tracker", 30.0, now_us - 12 * SECOND, now_us, 0.012, 0.008, 0.02, now_us,
        now_us // (86_400 * SECOND), 2_880, 2, "ap-south did not answer in 60 s", tuple(rows),
    )  # fmt: skip
    return NewsBatch("kafka", Reach.LIVE, probes=(SeenProbe(state, 0.14),))


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (360, True)])
def test_the_probe_is_shown_hop_by_hop_and_who_did_not_answer_it(
    shown: Shown, look: Look, keep: Keep, width: int, dark: bool
) -> None:
    shown.say(overviews.everything())
    shown.groups.take(overviews.groups(), time.time_ns() // 1000)
    shown.take(probed())
    page = look("/kafka", width=width, dark=dark)
    probe = page.locator("section[aria-label=probe]")
    probe.locator(".probe").wait_for()
    told = " ".join(probe.inner_text().split())
    assert "store answers 12 ms → Kafka 8 ms → 3 of 4 regions p50 90 ms, p95 90 ms → tracker 20 ms → page 0.1 s" in told
    assert "lost 2 of 2,880 today (UTC); unanswered by ap-south" in told
    assert "ap-south did not answer in 60 s" in told
    keep(page, f"kafka-probe-{width}-{'dark' if dark else 'light'}")
    assert overflows(page) <= 0
