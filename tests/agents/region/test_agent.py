"""Which models a worker takes, keeps, gives up and takes again."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from modelcast.agents.region.agent import TRIALS_AT_ONCE, RegionAgent
from modelcast.agents.region.decider.policy import Policy
from modelcast.agents.region.ownership.others_keep import OthersKeep
from modelcast.agents.region.ownership.owned_state import OwnedState, Superseded
from modelcast.agents.region.registry_watch import RegistryWatch
from modelcast.agents.region.shell.ports import RegionPorts
from modelcast.infra.settings import RegionSettings
from modelcast.infra.stores.memory_store import MemoryStore
from modelcast.schemas import keys
from modelcast.schemas.errors import NotFound, StoreUnavailable
from modelcast.schemas.log.registry_id import encode_registry_id
from modelcast.schemas.log.statements import state
from modelcast.schemas.ports import StoredObject
from modelcast.schemas.region_memory import Memory
from modelcast.schemas.states import State
from modelcast.schemas.topics import partition_of
from tests.agents.region.scene import DiskInMemory, PodInMemory, Reports
from tests.agents.region.words import MODEL, REGION, REGISTRY, Log, digest, memory_of
from tests.support.waiting import until_async

MINE = frozenset({partition_of(MODEL)})


class Origin(MemoryStore):
    """May be away."""

    away = False

    def get(self, key: str, *, size_max: int) -> StoredObject | None:
        if self.away:
            raise StoreUnavailable("away")
        return super().get(key, size_max=size_max)

    def folders(self, prefix: str):  # type: ignore[no-untyped-def]
        if self.away:
            raise StoreUnavailable("away")
        return super().folders(prefix)


class Forgetful(Reports):
    def forget(self, model: str) -> None:
        self.last.pop(model, None)


class Post:
    """A worker of a region on stores in memory."""

    def __init__(self, reconcile_seconds: float = 0.2, policy: Policy | None = None) -> None:
        self.origin, self.bucket = Origin("origin"), MemoryStore("region")
        self.log = Log()
        self.pod = PodInMemory("p")
        self.disk, self.reports = DiskInMemory(), Forgetful()
        self.threads = ThreadPoolExecutor(8)
        ports = RegionPorts(REGION, {"p": self.pod}, self.disk, self.reports, self.threads, self.threads)
        self.watch = RegistryWatch(self.origin, self.bucket)
        self.agent = RegionAgent(
            REGION,
            RegionSettings(reconcile_seconds=reconcile_seconds, read_back_seconds=0.2),
            owner="me",
            ports=ports,
            region_store=self.bucket,
            watch=self.watch,
            reporter=self.reports,  # type: ignore[arg-type]
            policy=policy,
        )
        self.watching = asyncio.create_task(self.agent.watch())

    def publish(self, version: int) -> None:
        self.origin.put(keys.REGISTRY_ID, encode_registry_id(REGISTRY))
        entry = self.log.publish(version).entries[-1]
        self.origin.put(keys.log_entry(MODEL, entry.generation), self.log.stated(entry.generation).body)

    async def until(self, condition: Callable[[], object], what: str) -> None:
        await until_async(condition, what)

    async def serves(self, version: int) -> None:
        await self.until(
            lambda: (r := self.reports.last.get(MODEL)) and r.state is State.SERVING and r.target.version == version,  # type: ignore[union-attr]
            f"version {version} serves",
        )

    async def end(self) -> None:
        self.watching.cancel()
        await asyncio.gather(self.watching, return_exceptions=True)
        await self.agent.close()
        self.threads.shutdown()


@pytest.fixture
async def hasty():  # type: ignore[no-untyped-def]
    made = Post(policy=Policy(read_every=0.2, store_pauses=(0.01,)))
    yield made
    await made.end()


@pytest.fixture
async def post():  # type: ignore[no-untyped-def]
    made = Post()
    yield made
    await made.end()


async def test_without_a_registry_there_is_nothing_to_do_and_that_is_well(post: Post) -> None:
    post.agent.assigned(MINE)
    await post.until(lambda: post.agent.trouble == "", "looked")
    assert post.agent.models_owned == 0
    post.publish(1)
    post.agent.registry_doubted()  # as a first announcement would
    await post.serves(1)


async def test_models_of_its_partitions_are_taken_and_no_others(post: Post) -> None:
    post.publish(1)
    post.agent.assigned({(partition_of(MODEL) + 1) % 12})
    await post.until(lambda: post.watch.registry_id, "the registry was read")
    await asyncio.sleep(0.3)
    assert post.agent.models_owned == 0
    post.agent.assigned(MINE)
    await post.serves(1)


async def test_what_nobody_announced_is_found_by_looking(post: Post) -> None:
    post.publish(1)
    post.agent.assigned(MINE)
    await post.serves(1)
    post.publish(2)
    await post.serves(2)


async def test_a_partition_that_comes_back_after_a_rebalance_keeps_its_epoch(post: Post) -> None:
    post.publish(1)
    post.agent.assigned(MINE)
    await post.serves(1)
    post.agent.revoked()
    post.publish(2)
    await asyncio.sleep(0.3)
    assert post.disk.fetched == [1]  # nothing is begun in between
    post.agent.assigned(MINE)
    await post.serves(2)
    assert post.reports.last[MODEL].facts.saved.epoch == 1


async def test_a_partition_that_went_to_another_worker_is_given_up(post: Post) -> None:
    post.publish(1)
    post.agent.assigned(MINE)
    await post.serves(1)
    post.agent.revoked()
    post.agent.assigned(())
    await post.until(lambda: post.agent.models_owned == 0, "given up")
    assert MODEL not in post.reports.last
    post.publish(2)
    await asyncio.sleep(0.3)
    assert post.pod.serves is not None
    assert post.pod.serves.version == 1


async def test_whoever_is_replaced_does_not_push_back_at_once_but_looks_again_later(post: Post) -> None:
    post.publish(1)
    post.agent.assigned(MINE)
    await post.serves(1)
    successor = OwnedState(post.bucket, MODEL, REGION, "other")
    assert successor.claim(REGISTRY).epoch == 2
    post.agent.woke()
    await post.until(lambda: post.agent.models_owned == 0, "it finds out")
    assert await post.agent.meet(MODEL) is None
    assert successor.check().epoch == 2
    await post.until(lambda: post.agent.models_owned == 1, "it is still told that the partition is its own")


@pytest.fixture
async def patient():  # type: ignore[no-untyped-def]
    made = Post(reconcile_seconds=3600.0)
    yield made
    await made.end()


async def test_the_right_owner_that_was_pushed_out_is_back_long_before_it_looks_around(patient: Post) -> None:
    patient.publish(1)
    patient.agent.assigned(MINE)
    await patient.serves(1)
    assert OwnedState(patient.bucket, MODEL, REGION, "intruder").claim(REGISTRY).epoch == 2
    patient.agent.woke()
    await patient.until(lambda: patient.agent.models_owned == 0, "it finds out")
    await patient.until(lambda: patient.agent.models_owned == 1, "it is back")
    assert patient.reports.last[MODEL].facts.saved.epoch == 3


async def test_a_worker_that_may_have_lost_its_partition_takes_nothing_from_another_until_it_is_sure(
    patient: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bool] = []

    def stands() -> bool:
        asked.append(sure)
        return sure

    sure = False
    monkeypatch.setattr(patient.agent.liveness, "stands", stands)
    patient.publish(1)
    other = OwnedState(patient.bucket, MODEL, REGION, "other")
    other.claim(REGISTRY)
    patient.agent.assigned(MINE)
    await patient.until(lambda: len(asked) >= 2, "it has tried, yielded and tried again")
    assert other.check().epoch == 1
    sure = True
    await patient.serves(1)
    with pytest.raises(Superseded):
        other.check()


async def test_nothing_is_taken_from_another_while_partitions_change_hands(patient: Post) -> None:
    patient.publish(1)
    patient.agent.assigned(MINE)
    await patient.serves(1)
    patient.agent.revoked()
    successor = OwnedState(patient.bucket, MODEL, REGION, "other")
    successor.claim(REGISTRY)
    patient.agent.woke()
    await patient.until(lambda: patient.agent.models_owned == 0, "it finds out")
    await patient.until(lambda: patient.agent._yields[MODEL] >= 2, "it came back, and yielded again")
    assert successor.check().epoch == 2
    patient.agent.assigned(MINE)
    await patient.until(lambda: patient.agent.models_owned == 1, "its own after all")


async def test_a_claim_that_fails_in_an_unforeseen_way_is_tried_again(
    patient: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures = [RuntimeError("a bug"), RuntimeError("again")]
    real = OwnedState.claim

    def claim(self: OwnedState, registry_id: str) -> Memory:
        if failures:
            raise failures.pop()
        return real(self, registry_id)

    monkeypatch.setattr(OwnedState, "claim", claim)
    patient.publish(1)
    patient.agent.assigned(MINE)
    await patient.serves(1)


async def test_a_model_that_was_spoken_of_too_early_is_taken_as_soon_as_it_exists(hasty: Post) -> None:
    post = hasty
    post.origin.put(keys.REGISTRY_ID, encode_registry_id(REGISTRY))
    post.agent.assigned(MINE)
    await post.until(lambda: post.watch.registry_id, "the registry was met")
    too_early = await post.agent.meet(MODEL)
    assert too_early is not None
    await post.until(lambda: too_early.stopped and post.agent.reconciler(MODEL) is None, "given up")
    post.watching.cancel()  # it must not depend on looking around
    with pytest.raises(NotFound):
        await post.agent.meet(MODEL)
    post.publish(1)
    assert await post.agent.meet(MODEL) is not None
    await post.serves(1)


async def test_names_that_nobody_knows_are_not_all_tried_at_once(hasty: Post) -> None:
    post = hasty
    post.publish(1)
    post.agent.assigned(range(12))
    await post.serves(1)
    post.watching.cancel()
    listed: list[str] = []
    folders, list_ = post.origin.folders, post.origin.list
    post.origin.folders = lambda prefix: (listed.append(prefix), folders(prefix))[1]  # type: ignore[method-assign]
    tried: set[str] = set()
    post.origin.list = lambda prefix, **more: (tried.add(prefix), list_(prefix, **more))[1]  # type: ignore[method-assign]
    met = await asyncio.gather(*(post.agent.meet(f"made-up-{n}") for n in range(100)), return_exceptions=True)
    assert sum(isinstance(each, NotFound) for each in met) == 100 - TRIALS_AT_ONCE
    assert len(listed) <= 2
    await post.until(lambda: post.agent.models_owned == 1 and not post.agent.reconciler("made-up-0"), "given up")
    assert len({prefix for prefix in tried if "made-up" in prefix}) == TRIALS_AT_ONCE


async def test_while_the_origin_is_away_a_new_owner_takes_what_the_region_remembers(post: Post) -> None:
    post.bucket.put(keys.REGISTRY_ID, encode_registry_id(REGISTRY))
    post.bucket.put(keys.region_state(MODEL), memory_of(1, 1).encode())
    post.origin.away = True
    post.agent.assigned(MINE)
    await post.until(lambda: post.agent.models_owned == 1, "taken")
    assert "away" in post.agent.trouble
    assert post.agent.digests_kept() == {digest(1)}
    post.publish(1)
    post.origin.away = False
    await post.serves(1)
    await post.until(lambda: post.agent.trouble == "", "all is well")


async def test_a_swapped_registry_stops_every_model_and_makes_the_worker_unready(post: Post) -> None:
    post.publish(1)
    post.agent.assigned(MINE)
    await post.serves(1)
    post.origin.put(keys.REGISTRY_ID, encode_registry_id("another"))
    await post.until(lambda: post.reports.last[MODEL].facts.alarm, "the alarm is told")
    assert "another" in post.agent.trouble
    post.origin.put(keys.REGISTRY_ID, encode_registry_id(REGISTRY))
    await post.until(lambda: not post.reports.last[MODEL].facts.alarm, "it is over")


async def test_a_rewritten_entry_is_noticed_without_any_announcement(post: Post) -> None:
    post.publish(1)
    post.agent.assigned(MINE)
    await post.serves(1)
    from dataclasses import replace

    forged = replace(post.log.entries[0], event_id="forged")
    post.origin.put(keys.log_entry(MODEL, 1), state(forged, post.log.fold.digest_at(0)).body)
    await post.until(lambda: post.reports.last[MODEL].facts.alarm, "the alarm is told")


async def test_what_is_due_as_a_model_is_given_up_is_not_reported_any_more(post: Post) -> None:
    post.publish(1)
    post.agent.assigned(MINE)
    await post.serves(1)
    reconciler = post.agent.reconciler(MODEL)
    assert reconciler is not None
    asyncio.get_running_loop().call_soon(reconciler.contradicted, "an answer that is there already")
    post.agent.assigned(())
    await asyncio.sleep(0.05)
    assert MODEL not in post.reports.last


async def test_draining_begins_nothing_more(post: Post) -> None:
    post.publish(1)
    post.agent.assigned(MINE)
    await post.serves(1)
    await post.agent.drain(5)
    post.publish(2)
    await asyncio.sleep(0.4)
    assert post.disk.fetched == [1]
    post.agent.assigned(MINE)
    await asyncio.sleep(0.1)
    assert post.disk.fetched == [1]


def test_what_other_workers_hold_is_kept_and_read_only_when_it_changed() -> None:
    class Counting(MemoryStore):
        gets = 0

        def get(self, key: str, *, size_max: int) -> StoredObject | None:
            self.gets += 1
            return super().get(key, size_max=size_max)

    store = Counting()
    store.put(keys.region_state("fraud"), memory_of(1, 1).encode())
    store.put(keys.region_state("churn"), memory_of(2, 2).encode())
    store.put(keys.region_state("spam"), b"damaged")
    others = OthersKeep(store)
    others.look({"fraud"})
    assert others.digests == {digest(2)}
    gets = store.gets
    others.look({"fraud"})
    assert store.gets == gets
    store.put(keys.region_state("churn"), memory_of(3, 3).encode())
    others.look({"fraud"})
    assert others.digests == {digest(3)}
