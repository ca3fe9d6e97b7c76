"""A pod takes tables of shares, goes on with them after a restart, and leaves them when the control changes."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from modelcast.consumers.pod.ledger import Ledger
from modelcast.consumers.pod.repository import Repository
from modelcast.consumers.pod.traffic.division import Division
from modelcast.consumers.pod.traffic.tables import KeptTable, TableFolder
from modelcast.consumers.pod_clients.port import CANDIDATE, LoadFailed, PodRefused
from modelcast.infra.telemetry.metrics import PodMetrics
from modelcast.schemas.traffic.table import table_digest
from tests.consumers.pod.traffic.laned_engine import LanedServer, order
from tests.consumers.pod.traffic.traffic_tables import table
from tests.support.waiting import until_async

ONE, TWO, THREE = ((version, order(version).manifest_digest) for version in (1, 2, 3))
CANARY = table(ONE, TWO, 100, generation=5)


class Pod:
    """Serves 1, with candidate 2, once ``loaded``."""

    def __init__(self, folder: Path, server: LanedServer | None = None) -> None:
        self.ledger = Ledger(folder)
        self.repository = Repository(server or LanedServer(), self.ledger, PodMetrics(), grace_seconds=0.0)
        self.folder, self.closed = folder / "traffic", False
        self.division = Division("pod-a", "incarnation", self.repository.supervisor, TableFolder(self.folder))

    async def loaded(self) -> "Pod":
        await self.repository.load(order(1))
        await self.repository.load(order(2, lane=CANDIDATE))
        return self

    async def close(self) -> None:
        if not self.closed:
            await self.repository.supervisor.close()
            self.ledger.close()
        self.closed = True

    async def on_disk(self, kept: KeptTable) -> None:
        await until_async(lambda: TableFolder(self.folder).read().get("m") == kept, "it is on disk")


@pytest_asyncio.fixture
async def pod(tmp_path: Path) -> AsyncIterator[Pod]:
    pod = await Pod(tmp_path).loaded()
    yield pod
    await pod.close()


async def test_a_table_is_in_force_at_once_and_read_back(pod: Pod) -> None:
    before = pod.division.read("m")
    assert (before.authority, before.table_digest) == ((0, 0, 0), "")
    await pod.division.apply(CANARY)
    await pod.division.apply(CANARY)
    found = pod.division.read("m")
    assert (found.authority, found.table_digest) == ((5, 1, 1), table_digest(CANARY))
    assert (found.rollout, found.shares) == ("r1", {1: 9900, 2: 100})
    assert found.sequence > before.sequence
    assert {(counts.version, counts.ready) for counts in found.versions} == {(1, True), (2, True)}
    with pytest.raises(PodRefused):
        await pod.division.apply(table(ONE, TWO, 9000, generation=4))
    with pytest.raises(PodRefused, match="this pod obeys 'registry'"):
        await pod.division.apply(table(ONE, TWO, 9000, generation=9, registry="another"))
    assert pod.division.read("m").table_digest == table_digest(CANARY)


async def test_a_restarted_pod_goes_on_with_the_table(pod: Pod, tmp_path: Path) -> None:
    await pod.division.apply(CANARY)
    await pod.close()
    again = Pod(tmp_path)
    assert again.division.read("m").table_digest == table_digest(CANARY)
    await again.repository.load(order(1, 6))
    assert again.division.active["m"].table == CANARY
    await again.close()


async def test_a_promotion_and_a_newer_publication_end_the_table_also_on_disk(pod: Pod) -> None:
    await pod.division.apply(CANARY)
    await pod.repository.load(order(1, 6))
    assert "m" in pod.division.active, "the same bytes by a newer order change nothing"
    await pod.repository.load(order(2, 7))
    assert pod.division.active == {}
    await pod.on_disk(KeptTable(None, 7))
    await pod.repository.load(order(1, 8))
    with pytest.raises(PodRefused) as caught:
        await pod.division.apply(CANARY)
    assert (caught.value.code, pod.division.active) == ("stale", {})


async def test_a_table_of_the_promotion_that_comes_first_moves_everyone_to_the_promoted_version(pod: Pod) -> None:
    await pod.division.apply(CANARY)
    await pod.division.apply(table(TWO, ONE, 0, generation=7, shadow=1))
    arm = pod.division.active["m"].arms[-1]
    chosen = pod.division.active["m"].serving(arm)
    assert chosen is not None
    assert chosen.order.version == 2
    await pod.repository.load(order(2, 7))
    assert pod.division.read("m").authority == (7, 1, 1)


async def test_a_table_without_a_candidate_costs_nothing_and_is_remembered(pod: Pod) -> None:
    await pod.division.apply(table(ONE, None, 0, generation=6))
    assert pod.division.active == {}
    with pytest.raises(PodRefused):
        await pod.division.apply(CANARY)


async def test_counts_go_on_from_table_to_table(pod: Pod) -> None:
    await pod.division.apply(CANARY)
    serving = pod.repository.supervisor.slots["m@candidate"].serving
    assert serving is not None
    pod.division.active["m"].count(serving, 200, 0.001, 0, keyed=True)
    await pod.division.apply(table(ONE, TWO, 1000, generation=5, sequence=2))
    pod.division.active["m"].count(serving, 500, 0.001, 0, keyed=True)
    counts = {found.version: found for found in pod.division.read("m").versions}
    assert (counts[2].requests, counts[2].failed, counts[1].requests) == (2, 1, 0)


async def test_a_candidate_whose_worker_dies_has_failed_once_and_is_answered_for(pod: Pod) -> None:
    await pod.division.apply(table(ONE, TWO, 10_000))
    pod.repository.supervisor.lost("m@candidate", "its worker process died")
    counts = pod.division.read("m").versions[0]
    assert (counts.version, counts.requests, counts.failed, counts.ready) == (2, 1, 1, False)
    assert pod.division.active["m"].choose({}, b"", 0)[0] is None


async def test_a_pod_that_holds_one_version_divides_nothing_and_says_so(tmp_path: Path) -> None:
    class OneVersion(LanedServer):
        exchange = None  # type: ignore[assignment]

    pod = Pod(tmp_path, OneVersion())
    with pytest.raises(LoadFailed, match="holds one version of a model") as caught:
        await pod.division.apply(CANARY)
    assert caught.value.code == "unsupported"
    await pod.close()
