"""Region agents are killed again and again while versions and predictions flow; nothing is lost, nothing half-loaded.

Each cycle publishes a version and kills one worker of every region, each in a state aimed at: the links to the stores
are made slow where that state would be too short to hit. What a kill hit is read from what the dead process had
logged last (it logs a state before it acts on it) and must agree with what lies on its disk and what its pods serve.
While they are dead, another version is published. Then they are started again, and everything has to come right.

``MODELCAST_KILL_SEED`` replays the choices (not the timing), ``MODELCAST_KILL_ROUNDS`` asks for another number.
"""

import os
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from modelcast.infra.registry.reader import RegistryReader
from modelcast.infra.stores.configured import origin_store
from modelcast.producers import Publisher
from modelcast.producers.publication import Publication
from modelcast.schemas.records import ModelUpdate
from modelcast.schemas.states import State
from tests.consumers.pod.models import adder
from tests.support.lanes import often
from tests.support.network.slow_link import Network
from tests.support.network.traffic import Tally, Traffic
from tests.support.processes.daemon import Daemon
from tests.support.servers.cluster import Cluster, Region
from tests.support.waiting import until

pytestmark = [pytest.mark.real, pytest.mark.integration]

REGIONS = {"eu": (1, 1), "us": (2, 2), "ap": (1, 1)}  # pods, workers
ROUNDS = int(os.environ.get("MODELCAST_KILL_ROUNDS", often(60, 12)))
ROUNDS_MAX = ROUNDS * 3 // 2
PROVEN_MIN = 5 if ROUNDS >= 60 else 1
AIMS = (State.FETCHING, State.STAGED, State.LOADING)
DELAYS_SECONDS = {State.FETCHING: 0.7, State.STAGED: 0.4, State.LOADING: 0.1, None: 2.0}
FRAUD, PULSE = "fraud", "pulse"
NUMBERS = {FRAUD: float, PULSE: lambda version: 1000.0 + version}
RATE = 4.0
CONVERGED_SECONDS_MAX = 60.0


@dataclass(frozen=True)
class Kill:
    """One kill -9: what it hit, and whether disk and pods bear that out."""

    region: str
    worker: str
    aim: State | None
    hit: State | None
    proven: bool


@dataclass
class Rounds:
    """The run: what was published, killed and seen."""

    cluster: Cluster
    publisher: Publisher
    random: random.Random
    folder: Path
    published: dict[str, list[Publication]] = field(default_factory=lambda: {FRAUD: [], PULSE: []})
    kills: list[Kill] = field(default_factory=list)
    tally: Tally = field(default_factory=Tally)
    _files: int = 0

    def publish(self, model: str, padding_bytes: int = 0) -> Publication:
        """The next version; its numbers tell which one it is."""
        version, folder = len(self.published[model]) + 1, self.folder / str(self._files)
        self._files += 1
        folder.mkdir(parents=True)
        for path, data in adder(NUMBERS[model](version)).files.items():
            (folder / path).write_bytes(data)
        if padding_bytes:
            (folder / "padding.bin").write_bytes(self.random.randbytes(padding_bytes))
        publication = self.publisher.publish(model, folder, version=version)
        self.published[model].append(publication)
        return publication

    @property
    def proven(self) -> Counter[State | None]:
        return Counter(kill.hit for kill in self.kills if kill.proven)

    def aims(self) -> dict[str, State | None]:
        """What to aim at in each region: by chance, and late in the run at what is still lacking."""
        lacking = [s for s in AIMS if self.proven[s] < PROVEN_MIN]
        late = len(self.kills) >= ROUNDS // 3
        return {r: self.random.choice(lacking if late and lacking else [*AIMS, *AIMS, None]) for r in REGIONS}

    def cycle(self) -> None:
        """Publish, kill one worker of each region, publish again, start them again."""
        aims = self.aims()
        for name, aim in aims.items():
            region = self.cluster.regions[name]
            if aim is State.FETCHING:
                region.origin_link.bytes_per_second = self.random.uniform(2e6, 6e6)
            if aim is State.STAGED:  # the state object is not written yet: no pod may be told
                region.bucket_link.hold("PUT", f"/state/{FRAUD}", self.random.uniform(2.5, 4.0))
                region.bucket_link.drops_orphans = self.random.random() < 0.5
        large = State.FETCHING in aims.values() or self.random.random() < 0.3
        delays = {name: self.random.uniform(0, DELAYS_SECONDS[aim]) for name, aim in aims.items()}
        with ThreadPoolExecutor(len(REGIONS)) as pool:
            owners = {name: self._owner(self.cluster.regions[name]) for name in REGIONS}
            generation = len(self.published[FRAUD]) + 1
            strikes = {
                name: pool.submit(self._strike, self.cluster.regions[name], owners[name], generation, aim, delays[name])
                for name, aim in aims.items()
            }
            # Regions are told before it returns: deltas are made meanwhile.
            self.publish(FRAUD, self.random.randint(4, 8) << 20 if large else 0)
            self.kills += [strike.result() for strike in strikes.values()]
        for region in self.cluster.regions.values():
            region.check_cache()
        self.publish(PULSE)
        for region in self.cluster.regions.values():
            region.origin_link.heal()
            region.bucket_link.heal()
        for owner in owners.values():
            owner.start()

    def _owner(self, region: Region) -> Daemon:
        until(lambda: region.owner(FRAUD), f"a worker of {region.name} owns {FRAUD}")
        owner = region.owner(FRAUD)
        assert owner is not None
        return owner

    def _strike(self, region: Region, victim: Daemon, generation: int, aim: State | None, delay: float) -> Kill:
        """Wait for the entry, for what is aimed at, and for a moment, and kill."""
        passed = AIMS[AIMS.index(aim) :] if aim else ()

        def reached() -> bool:
            said = victim.state(FRAUD)
            return said is not None and said[0] == generation and said[1] in (*passed, State.SERVING)

        claimed = self._claimed(generation)
        if aim is not None:
            until(reached, lambda: f"{victim.name} reaches {aim}; it is at {victim.state(FRAUD)}")
        time.sleep(delay)
        served = [self.tally.served.get((url, FRAUD)) for url in region.pods]
        victim.kill()
        said, there = victim.state(FRAUD), region.has(claimed.artifact.manifest_digest)
        hit = said[1] if said and said[0] == generation else None
        proven = {
            State.FETCHING: not there,
            State.STAGED: there and claimed.version not in served,
            State.LOADING: there,
        }.get(hit, False)  # type: ignore[arg-type]
        return Kill(region.name, victim.name, aim, hit, proven)

    def _claimed(self, generation: int) -> ModelUpdate:
        """The entry, once it stands."""
        with closing(RegistryReader(origin_store(self.cluster.settings))) as reader:
            until(lambda: reader.entry(FRAUD, generation), f"generation {generation} is claimed")
            found = reader.entry(FRAUD, generation)
            assert found is not None and isinstance(found.entry, ModelUpdate)
            return found.entry

    def trouble(self) -> str:
        """What is not yet as the log says; "" when all is."""
        served = self.tally.served
        for model, publications in self.published.items():
            last = publications[-1]
            for region in self.cluster.regions.values():
                memory = region.memory(model)
                if memory is None or memory.served is None:
                    return f"{region.name} serves no {model}"
                if (memory.served.version, memory.served.generation) != (last.version, last.generation):
                    return f"{region.name} remembers {memory.served}, the log ends with {last}"
                for url in region.pods:
                    if served.get((url, model)) != last.version:
                        return f"{url} of {region.name} serves {model}/{served.get((url, model))}, not {last}"
            said = self.cluster.said(model)
            if said is None or said.consistent_version != last.version:
                return f"the tracker's consistent version of {model} is {said and said.consistent_version}, not {last}"
        return ""


class Witness:
    """Reads the regions' state objects all the time: nothing in them may ever fall."""

    def __init__(self, cluster: Cluster) -> None:
        self.fallen: list[str] = []
        self.looks = 0
        self._cluster = cluster
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="witness")
        self._thread.start()

    def _watch(self) -> None:
        last: dict[tuple[str, str], tuple[int, int, int]] = {}
        while not self._stop.wait(0.2):
            for name, region in self._cluster.regions.items():
                for model in (FRAUD, PULSE):
                    memory = region.memory(model)
                    if memory is None:
                        if (name, model) in last:
                            self.fallen.append(f"{name} {model}: gone")
                        continue
                    now = (memory.epoch, memory.accepted_generation, memory.served.generation if memory.served else 0)
                    before = last.get((name, model), now)
                    if any(a < b for a, b in zip(now, before, strict=True)):
                        self.fallen.append(f"{name} {model}: {now} after {before}")
                    last[name, model] = now
                    self.looks += 1

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()


@pytest.mark.timeout(1500)
def test_sixty_kills_lose_nothing_and_leave_nothing_half_loaded(
    make_cluster: Callable[[dict[str, tuple[int, int]]], Cluster],
    network: Network,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    seed = int(os.environ.get("MODELCAST_KILL_SEED") or random.randrange(2**32))
    began = time.monotonic()

    def say(text: str) -> None:
        with capsys.disabled():
            print(f"[{time.monotonic() - began:5.0f} s] {text}", flush=True)

    say(f"MODELCAST_KILL_SEED={seed}")
    cluster = make_cluster(REGIONS)
    with Publisher(cluster.settings) as publisher:
        rounds = Rounds(cluster, publisher, random.Random(seed), tmp_path / "models")
        for model in (FRAUD, PULSE):
            rounds.publish(model)
        until(
            lambda: (
                cluster.check_alive()
                and all((s := cluster.said(m)) and s.consistent_version == 1 for m in (FRAUD, PULSE))
            ),
            lambda: f"the first versions are served: {cluster.said(FRAUD)}",
            60,
        )
        traffic = Traffic(network, cluster.pods, NUMBERS, rate=RATE)
        rounds.tally = traffic.tally
        witness = Witness(cluster)
        recovery: list[float] = []
        try:
            while len(rounds.kills) < ROUNDS or (
                len(rounds.kills) < ROUNDS_MAX and any(rounds.proven[s] < PROVEN_MIN for s in AIMS)
            ):
                rounds.cycle()
                recovery.append(
                    until(lambda: cluster.check_alive() and not rounds.trouble(), rounds.trouble, CONVERGED_SECONDS_MAX)
                )
                for region in cluster.regions.values():
                    region.check_cache()
                assert not witness.fallen
                assert traffic.tally.clean, traffic.tally.examples
                hits = ", ".join(f"{k.region}: {k.hit}{'' if k.proven else '?'}" for k in rounds.kills[-len(REGIONS) :])
                say(f"{len(rounds.kills)} kills ({hits}), right again after {recovery[-1]:.1f} s")
        finally:
            witness.stop()
            tally = traffic.stop()
        say(
            f"{len(rounds.kills)} kills, proven: {dict(rounds.proven)}; {tally.sent} predictions, {tally.failed} "
            f"failed, {tally.wrong} wrong; {witness.looks} looks at state objects; "
            f"recovery {sorted(recovery)[len(recovery) // 2]:.1f} s median, {max(recovery):.1f} s at most"
        )

    assert not witness.fallen
    assert tally.clean, tally.examples
    assert witness.looks > ROUNDS
    assert all(rounds.proven[state] >= PROVEN_MIN for state in AIMS), rounds.proven
    reader = RegistryReader(origin_store(cluster.settings))
    for model, publications in rounds.published.items():
        log = reader.tail(model).log
        assert log.event_ids == tuple(p.event_id for p in publications), "each claimed once, in order, none lost"
        assert tally.answered[model, publications[-1].version] > 0
    for region in cluster.regions.values():
        assert region.check_cache(again=True) >= 2
        epoch = region.memory(FRAUD).epoch  # type: ignore[union-attr]
        owners = [k for k in rounds.kills if k.region == region.name and k.proven]
        assert epoch > len(owners), "each life that owned the model had to claim it"
    for daemon in cluster.daemons:
        assert daemon.alive
    for daemon in (cluster.tracker, *(p for r in cluster.regions.values() for p in r.pods.values())):
        assert daemon.life == 1
