"""Fifty worlds of faults, looked at as people do.

Page, API, metrics and command line agree with one another at any time, and with what pods serve once the faults have
ended; and what nothing has read back is OK nowhere.
"""

from collections import Counter
from collections.abc import Mapping

import pytest

from modelcast.dashboard.view.overview import Overview
from modelcast.schemas.records import VersionState
from modelcast.schemas.statuses import LOOKS, Limits, Status
from tests.dashboard.counting import counts_everywhere
from tests.simulation.actors.tracker import TrackerWorker
from tests.simulation.invariants import CONVERGES
from tests.simulation.quiet_logs import only_unforeseen_errors_logged
from tests.simulation.run import advance, converge
from tests.simulation.world import World
from tests.support.lanes import often

ROUNDS = often(50, 5)
READ_BACK_US = 600_000_000


class Page:
    """What is shown of a world: every state that a tracker says is taken in, as a dashboard takes it."""

    def __init__(self, world: World) -> None:
        self.world, self.overview = world, Overview(Limits())
        self.seen: set[object] = set()
        self.statuses: Counter[Status] = Counter()
        self._checks = world.checks.version_state_said
        world.checks.version_state_said = self.said  # type: ignore[method-assign]

    def said(self, worker: TrackerWorker, state: VersionState) -> None:
        """A worker of the tracker tells the world."""
        self._checks(worker, state)
        self.overview.take(state, state.updated_at_us, state.updated_at_us, "kafka")
        view = self.overview.models[state.model]
        self.statuses.update(view.statuses)
        pods = {row.region: row.pods for row in state.regions}
        for region, pair in view.pairs.items():
            if LOOKS[pair.status].serves_aspired:
                confirmed = [pod.version == pair.row.aspired_version for pod in pods[region]]
                assert all(confirmed) and len(confirmed) == pair.row.pods_expected, region
                assert state.updated_at_us - pair.row.read_at_us <= READ_BACK_US, region
                assert not pair.row.silent, region
        met = bool(state.alarm), tuple((each.status, each.counted) for each in view.pairs.values())
        if met not in self.seen:
            self.seen.add(met)
            found = counts_everywhere(state)
            assert set(found.values()) == {(view.serving, view.counted)}, found

    def serving(self) -> dict[str, bool]:
        """The regions that count, and whether they are shown to serve what they should."""
        pairs = self.overview.models[self.world.model].pairs
        return {name: LOOKS[pair.status].serves_aspired for name, pair in pairs.items() if pair.counted}


def is_plain(world: World, name: str) -> bool:
    """Whether a region has a pod that can't tell which generation it serves: it may stay unconfirmed."""
    return any(pod.plain for region in world.regions if region.name == name for pod in region.pods)


def truth(world: World) -> Mapping[str, bool]:
    """The regions, and whether all their pods serve what the log aspires to."""
    found = {}
    for region in world.regions:
        aspired = world.truth.aspiration(region.name).manifest_digest
        orders = [pod.serving.order if pod.serving else None for pod in region.pods]
        found[region.name] = bool(orders) and all(o is not None and o.manifest_digest == aspired for o in orders)
    return found


@pytest.mark.timeout(60 + 10 * ROUNDS)
def test_what_is_shown_agrees_with_itself_in_every_fault_and_with_the_pods_after_them() -> None:
    met, confirmed, statuses = 0, 0, Counter[Status]()
    for seed in range(7000, 7000 + ROUNDS):
        world = World(seed)
        page = Page(world)
        try:
            with only_unforeseen_errors_logged(world.failed):
                world.begin()
                advance(world, world.stop_at)
                converge(world, CONVERGES)
            shown, true = page.serving(), truth(world)
            assert all(true[name] for name, serves in shown.items() if serves), seed
            assert all(serves for name, serves in shown.items() if true[name] and not is_plain(world, name)), seed
            confirmed += sum(shown.values())
            page.overview.tick(world.now_us + 2 * READ_BACK_US)
            assert not any(page.serving().values()), seed
        finally:
            for process in world.processes:
                process.loop.end()
                process.abandon_steps()
        met, statuses = met + len(page.seen), statuses + page.statuses
    assert met > 3 * ROUNDS
    assert confirmed > ROUNDS
    assert {Status.OK, Status.SILENT, Status.LAG} <= statuses.keys()
