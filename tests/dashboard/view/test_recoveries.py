"""What is told as recovered: what is well again, and nothing that only stands in another line."""

from modelcast.dashboard.view.overview import Overview
from modelcast.dashboard.view.problems import found_problems
from modelcast.dashboard.view.recoveries import Recoveries
from modelcast.schemas.records import RegionState
from modelcast.schemas.states import State
from modelcast.schemas.statuses import Limits, Status
from tests.dashboard.makers import NOW, SECOND, fetching, refusing, row, state

FAILED = fetching("eu", 90, state=State.FAILED, error="out of memory")


class Watched:
    """An overview, of which is told what recovered."""

    def __init__(self) -> None:
        self.overview, self.recoveries, self.now_us = Overview(Limits()), Recoveries(), NOW

    def after(self, *rows: RegionState, model: str = "fraud") -> list[tuple[str, Status]]:
        """What recovered once the tracker said these rows, a second later."""
        self.now_us += SECOND
        self.overview.take(state(model, rows, updated_at_us=self.now_us), self.now_us, self.now_us, "kafka")
        return self.look()

    def look(self) -> list[tuple[str, Status]]:
        found = found_problems(self.overview, self.now_us)
        return [(problem.id, problem.status) for problem in self.recoveries.look(found, self.overview)]


def test_what_gets_worse_has_not_recovered_and_is_told_once_it_has_as_it_was_at_its_worst() -> None:
    watched = Watched()
    assert watched.after(fetching("eu", 300), row("us")) == []
    assert watched.after(FAILED, row("us")) == []
    assert watched.after(fetching("eu", 20), row("us")) == []
    assert watched.after(row("eu"), row("us")) == [("pair:fraud@eu", Status.FAILED)]
    assert watched.look() == []


def test_a_rollout_that_ends_is_no_recovery() -> None:
    watched = Watched()
    assert watched.after(fetching("eu", 20), row("us")) == []
    assert watched.after(row("eu"), row("us")) == []


def test_a_line_that_becomes_part_of_another_has_not_recovered() -> None:
    watched = Watched()
    assert watched.after(fetching("eu", 300), row("us")) == []
    assert watched.after(refusing("eu"), row("us")) == []  # it stands as the version's line now
    assert watched.after(row("eu"), row("us")) == [("version:fraud/8", Status.REFUSED), ("pair:fraud@eu", Status.LATE)]


def test_a_silent_region_has_recovered_once_it_has_caught_up_with_all_that_it_missed() -> None:
    watched = Watched()
    for model in ("fraud", "ranker"):
        watched.after(row("eu", silent=True), row("us"), model=model)
    assert watched.after(row("eu"), row("us"), model="ranker") == []
    assert watched.after(fetching("eu", 40), row("us")) == []
    assert watched.after(row("eu"), row("us")) == [("region:eu", Status.SILENT)]


def test_what_vanished_has_not_recovered() -> None:
    watched = Watched()
    watched.after(FAILED, row("us"))
    watched.overview.drop("fraud")
    assert watched.look() == []
    watched.after(FAILED, row("us"))
    assert watched.after(row("us")) == []


def test_an_alarm_and_a_tracker_are_over_when_their_lines_are() -> None:
    watched = Watched()
    watched.overview.take(state("fraud", [row("eu")], alarm="foreign bytes"), NOW, NOW, "kafka")
    watched.look()
    assert watched.after(row("eu")) == [("alarm:fraud", Status.ALARM)]
    watched.now_us += 100 * SECOND
    assert watched.look() == []
    assert watched.after(row("eu")) == [("tracker", Status.SILENT)]
