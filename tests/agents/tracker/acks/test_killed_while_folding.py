"""Killed in the middle of folding a hundred times, a tracker says what its slow twin says of all that was reported."""

import random
from dataclasses import replace

from modelcast.agents.tracker.decider.fold import fold
from modelcast.agents.tracker.decider.rows import parse_page_key
from modelcast.agents.tracker.decider.snapshots import Place
from modelcast.schemas.codec import decode_as, encode
from modelcast.schemas.records import ModelAck
from tests.agents.tracker.bench import Bench
from tests.agents.tracker.decider.test_fold_properties import HEARD, as_twin, known
from tests.agents.tracker.makers import MODEL, SECOND, log_of, pages, pod, update
from tests.agents.tracker.strategies import NOW_US, REGIONS
from tests.agents.tracker.twin import twin

KILLS = 100
LOG = log_of(update(1, 1), update(2, 2), update(3, 3))


class Killed(BaseException):
    """The process ends here: nothing in it may catch that."""


class MortalTable(dict[bytes, bytes]):
    """Its process may be killed before a record is written to the changelog, and after."""

    def __init__(self, rng: random.Random, risk: float) -> None:
        super().__init__()
        self.rng, self.risk = rng, risk

    def __setitem__(self, key: bytes, value: bytes) -> None:
        self._die()
        super().__setitem__(key, value)
        self._die()

    def pop(self, key: bytes, default: bytes = b"") -> bytes:  # type: ignore[override]
        self._die()
        found = super().pop(key, default)
        self._die()
        return found

    def _die(self) -> None:
        if self.rng.random() < self.risk:
            raise Killed


def reports(rng: random.Random) -> list[ModelAck]:
    """What three regions send: snapshots of several pages, out of order, some of them twice, some pages lost."""
    sent: list[tuple[float, ModelAck]] = []
    for region in REGIONS:
        for sequence in range(1, 31):
            version = rng.choice((1, 2, 2, 3))
            pods = [pod(f"{region}-{n}", rng.choice((version, version, None)), version) for n in range(4)]
            pods = [replace(each, read_at_us=NOW_US - rng.randrange(1, 300) * SECOND) for each in pods]
            for ack in pages(region, pods, sequence=sequence, page_count=rng.randint(1, 3), generation=version):
                times = rng.choice((0, 1, 1, 1, 2)) if sequence < 30 else 1
                sent += [(sequence + rng.uniform(0, 2), ack) for _ in range(times)]
    return [ack for _, ack in sorted(sent, key=lambda pair: pair[0])]


def begun(table: MortalTable) -> Bench:
    """A new process: it knows what its table holds, and nothing else."""
    bench = Bench()
    bench.table = table
    bench.knows(ModelAck)
    bench.epochs = dict.fromkeys(REGIONS, 1)
    found: dict[str, list[tuple[Place, ModelAck, bytes]]] = {}
    for key, raw in table.items():
        parsed = parse_page_key(key)
        assert parsed is not None
        found.setdefault(parsed[1], []).append((parsed[2], decode_as(ModelAck, raw), raw))
    for region, those in found.items():
        bench.rows.restore(MODEL, region, those)
    bench.intake.assigned()
    return bench


async def test_what_a_hundred_killed_trackers_leave_is_what_the_slow_twin_says() -> None:
    rng = random.Random(20261130)
    acks, table = reports(rng), MortalTable(rng, risk=0.2)
    bench, position, kills = begun(table), 0, 0
    while position < len(acks):
        try:
            await bench.ack(encode(acks[position]))
            position += 1
        except Killed:
            bench.close()
            kills += 1
            position = max(0, position - rng.randrange(8))  # what was committed
            bench = begun(table)
    bench.close()
    assert kills >= KILLS
    assert bench.buried == []
    left = begun(table)  # what its table holds is enough
    left.close()
    for last in (bench, left):
        state = fold(replace(known(LOG, [], REGIONS), snapshots=last.rows.row(MODEL).snapshots), NOW_US)
        assert as_twin(state) == twin(LOG, acks, REGIONS, HEARD, NOW_US)
