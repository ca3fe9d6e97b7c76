"""How tracker's metrics, dashboard's metrics, API, page, verdict and command line count the pairs of one state."""

import io

from prometheus_client import CollectorRegistry
from rich.console import Console, RenderableType

from modelcast.agents.tracker.state_metrics import StateMetrics
from modelcast.cli.views import tables
from modelcast.cli.views.state_source import Sighting
from modelcast.dashboard.dashboard import Dashboard
from modelcast.dashboard.groups import GroupReader, GroupsWatch
from modelcast.dashboard.metrics import collected
from modelcast.dashboard.view.problems import problems
from modelcast.dashboard.view.verdict import overview_verdict
from modelcast.dashboard.web.rows import model_line
from modelcast.infra.settings import Settings
from modelcast.schemas.records import VersionState
from modelcast.schemas.statuses import LOOKS, Limits, Status


def printed(what: RenderableType) -> list[list[str]]:
    console = Console(file=io.StringIO(), width=200, highlight=False)
    console.print(what)
    return [line.split() for line in console.file.getvalue().splitlines()]  # type: ignore[attr-defined]


def board_of(state: VersionState) -> Dashboard:
    """A dashboard that knows this state alone, at the time when it was said."""
    board, at_us = Dashboard(Limits()), state.updated_at_us
    board.overview.take(state, at_us, at_us, "kafka")
    board.problems = problems(board.overview, at_us)
    board.verdict = overview_verdict(board.overview, board.problems)
    return board


def counts_everywhere(state: VersionState) -> dict[str, tuple[int, int]]:
    """(serving, counted) as each place has it, when the state was said."""
    board, tracker, registry = board_of(state), StateMetrics(), CollectorRegistry()
    tracker.show(state)
    registry.register(tracker)
    by_status = collected(board, GroupsWatch(lambda: GroupReader(Settings()))).get_sample_value
    pairs = {s: int(by_status("modelcast_model_pairs", {"model": state.model, "status": s.value}) or 0) for s in Status}
    line, verdict = model_line(board.overview.models[state.model]), board.verdict.pairs
    head, told = printed(tables.models_table([Sighting(state, 0.0, "redis")]))
    serving, counted = told[head.index("REGIONS")].split("/")
    value = registry.get_sample_value
    ours = {"model": state.model}

    def serve(found: dict[str, int]) -> tuple[int, int]:
        return sum(n for name, n in found.items() if LOOKS[Status(name)].serves_aspired), sum(found.values())

    return {
        "tracker's metrics": (
            int(value("modelcast_model_regions_serving", ours) or 0),
            int(value("modelcast_model_regions", ours) or 0),
        ),
        "dashboard's metrics": serve({status.value: count for status, count in pairs.items()}),
        "API and page": (line.serving, line.counted),
        "API's list of statuses": serve(line.statuses),
        "verdict": serve(dict(verdict)),
        "command line": (int(serving), int(counted)),
    }
