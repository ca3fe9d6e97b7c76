"""``modelcast top`` as a person uses it: keys are pressed, and what stands on the screen is read."""

import asyncio
import time
from collections.abc import Mapping

import pytest
from textual.pilot import Pilot

from modelcast.cli.top.app import TopApp
from modelcast.cli.top.feeds import Tell, model_of
from modelcast.cli.top.matrix import NAME_CELLS, MatrixView
from modelcast.cli.top.screens import ModelScreen, NowScreen, RowList
from modelcast.cli.top.shown import ModelShown, NowShown, now_of
from modelcast.dashboard.dashboard import Dashboard
from modelcast.dashboard.sources.news import NewsBatch, Reach, SeenState
from modelcast.schemas.records import VersionState
from modelcast.schemas.statuses import Limits
from tests.dashboard import overviews
from tests.support.waiting import until_async

SIZE = (120, 60)


class DashboardFeed:
    """A dashboard that a test fills."""

    def __init__(self, states: Mapping[str, VersionState], age_seconds: float = 0.0) -> None:
        self.dashboard = Dashboard(Limits())
        self.tell: Tell = lambda *_: None
        self.take(states, age_seconds)

    def take(self, states: Mapping[str, VersionState], age_seconds: float = 0.0) -> None:
        at_us = time.time_ns() // 1000 - round(age_seconds * 1_000_000)
        seen = tuple(SeenState(name, each, at_us) for name, each in states.items())
        self.dashboard.take(NewsBatch("kafka", Reach.LIVE, seen))
        self.dashboard.flush()
        self.tell(self.shown(), "")

    def shown(self) -> NowShown:
        return now_of(self.dashboard, time.monotonic())

    async def run(self, tell: Tell) -> None:
        self.tell = tell
        tell(self.shown(), "")
        await asyncio.Event().wait()

    async def model(self, name: str) -> ModelShown | None:
        return model_of(self.dashboard, name)


def text(app: TopApp) -> str:
    """What stands on the screen."""
    strips = app.screen._compositor.render_strips()
    return "\n".join("".join(segment.text for segment in strip) for strip in strips)


async def seen(pilot: Pilot[None], *words: str, seconds: float = 30.0) -> str:
    """The screen, once all of these stand on it."""
    app = pilot.app
    assert isinstance(app, TopApp)
    await until_async(lambda: all(word in text(app) for word in words), lambda: text(app), seconds)
    return text(app)


async def test_all_is_well() -> None:
    async with TopApp(DashboardFeed(overviews.overview())).run_test(size=SIZE) as pilot:
        await seen(pilot, "● live", "[· OK] Nothing is wrong", "10 models × 8 regions", "ranker", "········")


@pytest.mark.parametrize(
    ("states", "words"),
    [
        (overviews.late, ["[▮ LATE] 1 of 10 models is late in 1 of 8 regions", "ranker", "in us-west", "7 → 8", "▮"]),
        (overviews.silent, ["SILENT (1 of 8)", "ap-south", "10 of 10 models", "$ modelcast", "▯"]),
        (overviews.refused, ["[⊘ REFUSED]", "fraud", "in 8 of 8 regions", "expected sha256:dd2b", "⊘⊘⊘⊘⊘⊘⊘⊘"]),
    ],
)
async def test_what_is_wrong_is_said_first_with_where_why_and_what_to_type(states: object, words: list[str]) -> None:
    async with TopApp(DashboardFeed(states())).run_test(size=SIZE) as pilot:  # type: ignore[operator]
        await seen(pilot, *words)


async def test_nothing_yet_says_why() -> None:
    async with TopApp(DashboardFeed({})).run_test(size=SIZE) as pilot:
        await seen(pilot, "nothing was published, or no tracker runs")


async def test_what_is_old_is_never_ok() -> None:
    async with TopApp(DashboardFeed(overviews.overview(), age_seconds=300)).run_test(size=SIZE) as pilot:
        assert "[· OK]" not in await seen(pilot, "▲ OLD: the tracker last reported")
        await pilot.press("enter")
        await until_async(lambda: isinstance(pilot.app.screen, ModelScreen))
        assert "[· OK]" not in await seen(pilot, "▲ OLD: the tracker last reported", "[· OK then] eu-west")


async def test_the_cursor_walks_and_stays_on_its_row_while_others_come() -> None:
    feed = DashboardFeed(overviews.late())
    async with TopApp(feed).run_test(size=SIZE) as pilot:
        await seen(pilot, "LATE", "LAG")
        rows = pilot.app.screen.query_one(RowList)
        first = rows.row
        await pilot.press("j")
        second = rows.row
        await pilot.press("k")
        assert (rows.row, second == first) == (first, False)
        await pilot.press("j")
        feed.take(overviews.everything())
        await seen(pilot, "REFUSED", "SILENT")
        if second in [option.id for option in rows.options]:
            assert rows.row == second


async def test_a_model_opens_with_its_regions_worst_first_and_goes_on_live() -> None:
    feed = DashboardFeed(overviews.late())
    async with TopApp(feed).run_test(size=SIZE) as pilot:
        await seen(pilot, "ranker", "in us-west")
        await pilot.press("enter")
        await until_async(lambda: isinstance(pilot.app.screen, ModelScreen))
        shown = await seen(pilot, "ranker [▮ LATE]", "6 of 8 regions serve the aspired version", "7 → 8")
        assert shown.index("us-west") < shown.index("eu-north") < shown.index("eu-west")
        feed.take(overviews.overview())
        await seen(pilot, "ranker [· OK]", "8 of 8 regions serve the aspired version")
        await pilot.press("escape")
        await until_async(lambda: isinstance(pilot.app.screen, NowScreen))


async def test_a_search_narrows_list_and_matrix_opens_what_it_found_and_ends_with_escape() -> None:
    async with TopApp(DashboardFeed(overviews.everything())).run_test(size=SIZE) as pilot:
        await seen(pilot, "REFUSED", "churn", "speech-de")
        await pilot.press("slash", *"churn", "enter")
        await until_async(lambda: "speech-de" not in text(pilot.app))  # type: ignore[arg-type]
        await pilot.press("enter")
        await until_async(lambda: getattr(pilot.app.screen, "model", "") == "churn")
        await pilot.press("escape")
        await until_async(lambda: isinstance(pilot.app.screen, NowScreen))
        await pilot.press("escape")
        await seen(pilot, "speech-de")


async def test_the_command_is_copied_and_q_ends_it() -> None:
    feed = DashboardFeed(overviews.refused())
    app = TopApp(feed)
    async with app.run_test(size=SIZE) as pilot:
        await seen(pilot, "REFUSED")
        await pilot.press("c")
        assert app.clipboard == feed.dashboard.problems[0].command != ""
        await pilot.press("q")
    assert app.return_code == 0


async def test_a_source_that_is_away_is_said_and_what_was_known_stays() -> None:
    feed = DashboardFeed(overviews.refused())
    async with TopApp(feed).run_test(size=SIZE) as pilot:
        await seen(pilot, "● live", "REFUSED")
        feed.tell(None, "http://127.0.0.1:1/api/v1: refused")
        await seen(pilot, "◌ reconnecting", "127.0.0.1:1", "REFUSED")


async def test_what_comes_from_strangers_is_text() -> None:
    async with TopApp(DashboardFeed(overviews.hostile())).run_test(size=(200, 60)) as pilot:
        shown = await seen(pilot, "<img src=x")
        assert not {"\x1b", "\x07", "\u202e"} & set(shown)


async def test_of_100_models_in_200_regions_only_what_is_seen_is_drawn() -> None:
    drawn: list[int] = []
    line = MatrixView.render_line
    async with TopApp(DashboardFeed(overviews.large(100, 200))).run_test(size=(120, 40)) as pilot:
        await seen(pilot, "100 models × 200 regions")
        matrix = pilot.app.screen.query_one(MatrixView)
        assert matrix.virtual_size == (NAME_CELLS + 200, 100)
        matrix.render_line = lambda y: (drawn.append(y), line(matrix, y))[1]  # type: ignore[func-returns-value,method-assign]
        matrix.refresh()
        await until_async(lambda: drawn)
        await pilot.pause()
        assert max(drawn) < 40
        matrix.scroll_to(y=60, x=100, animate=False)
        await seen(pilot, sorted(overviews.models(100))[60])
