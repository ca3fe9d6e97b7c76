"""How old what is shown is: one rule and one set of words for the page and for ``top``."""

import re
from pathlib import Path

import pytest

from modelcast.dashboard.view.freshness import QUIET_SECONDS, UNHEARD_SECONDS, SeenAges
from modelcast.schemas.states import STALE_SECONDS

STATIC = Path(__file__).parents[3] / "dashboard" / "static"
ALL_WELL = {"quiet": 0.4, "tracker": 20.0, "unheard": 0.0, "kafka": "live", "source": "kafka"}


def ages(**changes: object) -> SeenAges:
    return SeenAges(**{**ALL_WELL, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "line", "old"),
    [
        ({}, "● live, 0.4 s old", False),
        ({"quiet": QUIET_SECONDS - 0.1}, "● live, 4.4 s old", False),
        ({"quiet": QUIET_SECONDS}, "◌ reconnecting, 4.5 s old", True),
        ({"tracker": STALE_SECONDS}, "● live, 0.4 s old", False),
        ({"tracker": 180.0}, "▲ OLD: the tracker last reported 3 min ago", True),
        ({"tracker": 180.0, "quiet": 6.0}, "◌ reconnecting, 6.0 s old", True),
        ({"tracker": None}, "● live, 0.4 s old", False),
        ({"unheard": 7.0}, "◐ no tracker was heard for 7.0 s", False),
        ({"kafka": "away", "source": "redis"}, "◐ Kafka is away; shown from redis", False),
    ],
)
def test_how_old_it_is_is_said_first(changes: dict[str, object], line: str, old: bool) -> None:
    assert (ages(**changes).line(), ages(**changes).old) == (line, old)


def test_a_source_that_is_known_to_be_away_is_said_with_why() -> None:
    assert ages().line("http://127.0.0.1:9470: refused") == "◌ reconnecting, 0.4 s old: http://127.0.0.1:9470: refused"


def test_the_page_has_the_same_rule_and_the_same_words() -> None:
    store, parts = (STATIC / "store.js").read_text(), (STATIC / "parts.js").read_text()
    numbers = dict(re.findall(r"const (QUIET_SECONDS|UNHEARD_SECONDS) = ([0-9.]+);", store))
    assert {name: float(value) for name, value in numbers.items()} == {
        "QUIET_SECONDS": QUIET_SECONDS,
        "UNHEARD_SECONDS": UNHEARD_SECONDS,
    }
    assert re.findall(r"> (\d+)\b", store.partition("export const old")[2].partition("\n")[0]) == [
        f"{STALE_SECONDS:.0f}"
    ]
    states = parts.partition("function state()")[2].partition("\n}")[0]
    said = re.findall(r"\[\"(.)\", `([^`]*)`", states)
    worded = [re.sub(r"\$\{duration\([^`]*?\)\}", "@", text) for _, text in said if "store.error" not in text]
    here = [
        ages(quiet=6.0),
        ages(tracker=180.0),
        ages(unheard=7.0),
        ages(kafka="away", source="redis"),
        ages(),
    ]
    shapes = [shape for shape, text in said]
    assert shapes == [each.line()[0] for each in here]
    ours = [re.sub(r"[\d.]+ (s|min)\b", "@", each.line()[2:]) for each in here]
    ours = [text.replace("away;", "${store.fresh.kafka};").replace("redis", "${store.fresh.source}") for text in ours]
    assert worded == ours
