"""What comes in on ``model-updates``: healthy records wake, others are refused with their reason; nothing raises."""

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest

from modelcast.agents.region.intake import Heard, UpdateIntake
from modelcast.agents.region.registry_watch import RegistryWatch
from modelcast.infra.registry.schema_lookup import LOOKUPS_AT_ONCE
from modelcast.infra.stores.memory_store import MemoryStore
from modelcast.schemas import keys
from modelcast.schemas.codec import encode
from modelcast.schemas.digests import sha256_of
from modelcast.schemas.errors import ForeignRegistry, NotFound, Refused, StoreUnavailable
from modelcast.schemas.log.chain import StatedEntry
from modelcast.schemas.log.registry_id import encode_registry_id
from modelcast.schemas.ports import StoredObject
from modelcast.schemas.probes import PROBE_KEYS, Probe
from modelcast.schemas.records import ModelCommand, ModelUpdate, RegionHeartbeat, Statement
from modelcast.schemas.topics import partition_of
from tests.agents.region.words import MODEL, REGISTRY, Log
from tests.support.records.folding import NOWHERE, in_statement
from tests.support.waiting import until_async

PARTITION = partition_of(MODEL)


def of_unknown_schema(number: int) -> bytes:
    """A statement about an entry that was written with a schema that nobody knows."""
    raw = b"\xc3\x01" + number.to_bytes(8, "big")
    return encode(Statement(sha256_of(b"its schema"), 1, NOWHERE, sha256_of(raw), raw))


def update(generation: int = 1, **changes: object) -> ModelUpdate:
    log = Log()
    for version in range(1, generation + 1):
        log.publish(version)
    entry = log.entries[-1]
    assert isinstance(entry, ModelUpdate)
    artifact = replace(entry.artifact, store="origin")
    return replace(entry, artifact=artifact, **changes)  # type: ignore[arg-type]


class ReconcilerInMemory:
    """Knows a log up to a head, and what contradicts it."""

    def __init__(self) -> None:
        self.head = 0
        self.claimed = 99
        self.lies: dict[str, str] = {}
        self.woken: list[int] = []
        self.held: set[bytes] = set()
        self.compared = 0
        self.refreshed = 0
        self.stopped = self.unknown = self.on_trial = self.alarmed = False
        self.log_reader = self
        self.log = object()

    def knows(self, generation: int) -> bool:
        return self.head >= generation

    def holds(self, stated: StatedEntry) -> bool:
        return stated.body in self.held

    def wake(self, generation: int) -> None:
        self.woken.append(generation)

    async def announced(self, generation: int) -> None:
        self.woken.append(generation)
        self.head = max(self.head, min(generation, self.claimed))

    def contradiction(self, stated: StatedEntry) -> str | None:
        self.compared += 1
        if stated.entry.generation > self.head:
            return "not in the log"
        return self.lies.get(stated.entry.event_id)

    def refresh(self) -> None:
        self.refreshed += 1


class Owners:
    def __init__(self) -> None:
        self.ours: dict[str, ReconcilerInMemory] = {MODEL: ReconcilerInMemory()}
        self.new: dict[str, ReconcilerInMemory | None] = {}
        self.met: list[str] = []
        self.away = False
        self.doubts = 0

    def reconciler(self, model: str) -> ReconcilerInMemory | None:
        return self.ours.get(model)

    def may_take(self, model: str) -> bool:
        return model in self.new

    async def meet(self, model: str) -> ReconcilerInMemory | None:
        self.met.append(model)
        if self.away:
            raise StoreUnavailable("away")
        if (found := self.new[model]) is None:
            raise NotFound("no such model")
        return found

    def registry_doubted(self) -> None:
        self.doubts += 1


class Refusals:
    def __init__(self) -> None:
        self.reasons: list[str] = []

    def __call__(self, heard: Heard, reason: str, detail: str) -> None:
        assert detail
        self.reasons.append(reason)


class IntakeHarness:
    """An intake with everything around it."""

    def __init__(self) -> None:
        self.owners, self.refused = Owners(), Refusals()
        self.origin, self.bucket = MemoryStore("origin"), MemoryStore("region")
        self.watch = RegistryWatch(self.origin, self.bucket)
        self.watch.registry_id = REGISTRY
        self.prefetched: list[ModelUpdate] = []
        self.answered: list[tuple[Probe, int, int]] = []
        self.intake = UpdateIntake(
            self.owners,  # type: ignore[arg-type]
            self.watch,
            self.prefetched.append,
            self.refused,
            answer=lambda *probe: self.answered.append(probe),
        )

    def take(self, raw: bytes, *, key: bytes = MODEL.encode(), partition: int = PARTITION) -> None:
        self.intake.take(Heard(raw, key, partition, 7, 1234))

    async def until(self, condition: Callable[[], object]) -> None:
        await until_async(condition)

    @property
    def fraud(self) -> ReconcilerInMemory:
        return self.owners.ours[MODEL]


@pytest.fixture
async def harness() -> IntakeHarness:
    return IntakeHarness()


async def test_an_announcement_wakes_its_model(harness: IntakeHarness) -> None:
    harness.take(in_statement(update(3)))
    await harness.until(lambda: harness.fraud.woken == [3])
    assert harness.refused.reasons == []


async def test_what_is_published_is_prefetched_before_the_log_is_read(harness: IntakeHarness) -> None:
    harness.take(in_statement(update(3)))
    assert [(one.model, one.generation) for one in harness.prefetched] == [(MODEL, 3)]
    assert harness.fraud.woken == []
    await harness.until(lambda: harness.fraud.woken == [3])


async def test_what_is_not_ours_or_not_in_order_is_not_prefetched(harness: IntakeHarness) -> None:
    harness.take(in_statement(update(3)), key=b"another")
    harness.take(in_statement(update(3)), partition=PARTITION + 1)
    del harness.owners.ours[MODEL]
    harness.take(in_statement(update(3)))
    assert harness.prefetched == []


async def test_a_model_that_is_new_here_is_met_and_woken(harness: IntakeHarness) -> None:
    harness.owners.new[MODEL] = harness.owners.ours.pop(MODEL)
    fraud = harness.owners.new[MODEL]
    assert fraud is not None
    harness.take(in_statement(update()))
    await harness.until(lambda: fraud.woken == [1])
    assert [one.model for one in harness.prefetched] == [MODEL]
    assert harness.refused.reasons == []


async def test_a_model_that_the_registry_does_not_hold_is_asked_for_a_few_times_then_refused(
    harness: IntakeHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("modelcast.agents.region.intake.NOT_IN_LOG_SECONDS", (0.01, 0.01))
    del harness.owners.ours[MODEL]
    harness.owners.new[MODEL] = None
    harness.take(in_statement(update()))
    await harness.until(lambda: harness.refused.reasons == ["unknown-model"])
    assert harness.owners.met == [MODEL] * 3
    assert harness.prefetched == []


async def test_while_the_store_is_away_an_unknown_model_is_neither_refused_nor_asked_for_again(
    harness: IntakeHarness,
) -> None:
    del harness.owners.ours[MODEL]
    harness.owners.new[MODEL], harness.owners.away = None, True
    harness.take(in_statement(update()))
    await harness.until(lambda: harness.owners.met)
    await asyncio.sleep(0.3)
    assert (harness.owners.met, harness.refused.reasons) == ([MODEL], [])


async def test_a_command_wakes_its_model_too(harness: IntakeHarness) -> None:
    from modelcast.schemas.records import CommandKind

    command = Log().publish(1).say(CommandKind.PAUSE).entries[-1]
    assert isinstance(command, ModelCommand)
    harness.take(in_statement(command))
    await harness.until(lambda: harness.fraud.woken == [2])


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", "framing"),
        (b"hello", "framing"),
        (b"\xc3\x01" + b"\0" * 8, "unknown-schema"),
        (of_unknown_schema(0), "unknown-schema"),
        (encode(update()), "bad-value"),
        (in_statement(update())[:-3], "malformed"),
        (b"\xc3\x01" + b"\0" * 300_000, "oversize"),
        (encode(RegionHeartbeat(REGISTRY, "eu", "w", 1, 1, 1)), "bad-value"),
        (in_statement(update(registry_id="another")), "foreign-registry"),
    ],
)
async def test_what_cannot_be_used_is_refused_with_its_reason(harness: IntakeHarness, raw: bytes, reason: str) -> None:
    harness.take(raw)
    await harness.until(lambda: harness.refused.reasons == [reason])
    assert harness.fraud.woken == []
    harness.take(in_statement(update()))
    await harness.until(lambda: harness.fraud.woken == [1])


PROBE = Probe(REGISTRY, "probe", "tracker", 1)


async def test_a_probe_is_answered_and_looks_nothing_up(
    harness: IntakeHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(harness.origin, "get", pytest.fail)
    for partition, key in enumerate(PROBE_KEYS):
        harness.take(encode(PROBE), key=key.encode(), partition=partition)
    assert harness.answered == [(PROBE, 1234, partition) for partition in range(12)]
    assert (harness.refused.reasons, harness.owners.met, harness.owners.doubts, harness.fraud.woken) == ([], [], 0, [])


@pytest.mark.parametrize(
    ("raw", "partition", "reason"),
    [
        (b"", 3, "framing"),
        (encode(PROBE)[:-1], 3, "malformed"),
        (encode(RegionHeartbeat(REGISTRY, "eu", "w", 1, 1, 1)), 3, "bad-value"),
        (in_statement(update()), 3, "bad-value"),
        (encode(PROBE), 4, "wrong-partition"),
        (encode(replace(PROBE, registry_id="another")), 3, "foreign-registry"),
    ],
)
async def test_a_probe_that_cannot_be_used_is_refused_with_its_reason(
    harness: IntakeHarness, raw: bytes, partition: int, reason: str
) -> None:
    harness.take(raw, key=PROBE_KEYS[3].encode(), partition=partition)
    assert harness.refused.reasons == [reason]
    assert harness.answered == []
    assert harness.fraud.woken == []


async def test_a_probe_under_a_models_key_is_no_probe(harness: IntakeHarness) -> None:
    harness.take(encode(PROBE))
    harness.take(encode(PROBE), key=b"probe/no-key-of-ours")
    assert harness.refused.reasons == ["bad-value", "bad-value"]
    assert harness.answered == []


async def test_a_wrong_key_or_partition_is_refused(harness: IntakeHarness) -> None:
    harness.take(in_statement(update()), key=b"churn")
    harness.take(in_statement(update()), partition=(PARTITION + 1) % 12)
    assert harness.refused.reasons == ["bad-key", "wrong-partition"]


async def test_a_record_of_another_registry_casts_doubt_on_the_stores(harness: IntakeHarness) -> None:
    harness.take(in_statement(update(registry_id="another")))
    assert harness.owners.doubts == 1


async def test_before_there_is_a_registry_a_record_is_a_reason_to_look_for_one(harness: IntakeHarness) -> None:
    harness.watch.registry_id = ""
    harness.take(in_statement(update()))
    assert (harness.owners.doubts, harness.refused.reasons) == (1, [])


async def test_a_record_that_differs_from_the_log_is_refused_and_has_the_store_looked_at_again(
    harness: IntakeHarness,
) -> None:
    harness.fraud.lies["event-1"] = "another event stands there"
    harness.take(in_statement(update()))
    await harness.until(lambda: harness.refused.reasons == ["differs-from-log"])
    assert harness.fraud.refreshed == 1


async def test_a_record_ahead_of_the_log_is_given_time_and_then_refused(
    harness: IntakeHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("modelcast.agents.region.intake.NOT_IN_LOG_SECONDS", (0.01, 0.01))
    harness.fraud.claimed = 2
    harness.take(in_statement(update(5)))
    await harness.until(lambda: harness.refused.reasons == ["differs-from-log"])
    assert harness.fraud.woken == [5, 5, 5]


async def test_what_belongs_to_another_worker_is_left_to_it(harness: IntakeHarness) -> None:
    del harness.owners.ours[MODEL]
    harness.take(in_statement(update()))
    await asyncio.sleep(0.01)
    assert harness.refused.reasons == []


async def test_a_flood_still_wakes_but_is_not_all_compared(
    harness: IntakeHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("modelcast.agents.region.intake.UNREAD_MAX", 2)
    for generation in (1, 2, 3):
        harness.take(in_statement(update(generation)))
    assert harness.fraud.woken == [3]  # the first two wait for their turn
    await harness.until(lambda: harness.fraud.woken == [3, 1, 2])


async def test_a_replay_of_what_stands_in_the_log_costs_no_comparison(harness: IntakeHarness) -> None:
    raw = in_statement(update(3))
    harness.fraud.head = 3
    harness.fraud.held = {raw}
    for _ in range(5_000):
        harness.take(raw)
    await asyncio.sleep(0.01)
    assert harness.fraud.compared == 0
    assert harness.refused.reasons == []


async def test_a_flood_of_known_generations_in_other_words_is_compared_within_bounds(
    harness: IntakeHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("modelcast.agents.region.intake.UNREAD_MAX", 50)
    harness.fraud.head = 3
    for _ in range(500):
        harness.take(in_statement(update(3)))
    await harness.until(lambda: harness.fraud.compared == 50)
    assert len(harness.fraud.woken) >= 500


async def test_a_flood_of_unknown_schemas_is_refused_and_costs_the_store_little(harness: IntakeHarness) -> None:
    asked: list[str] = []
    look = harness.origin.get

    def counted(key: str, *, size_max: int) -> StoredObject | None:
        asked.append(key)
        return look(key, size_max=size_max)

    harness.origin.get = counted  # type: ignore[method-assign]
    for number in range(500):
        harness.take(of_unknown_schema(number))
    harness.take(in_statement(update()))
    await harness.until(lambda: harness.fraud.woken == [1] and harness.refused.reasons == ["unknown-schema"] * 500)
    assert LOOKUPS_AT_ONCE <= len(asked) < 250  # and a few a second, however slow the machine is


async def test_a_flood_of_one_unknown_schema_asks_once(harness: IntakeHarness) -> None:
    asked: list[str] = []
    look = harness.origin.get

    def counted(key: str, *, size_max: int) -> StoredObject | None:
        asked.append(key)
        return look(key, size_max=size_max)

    harness.origin.get = counted  # type: ignore[method-assign]
    for _ in range(500):
        harness.take(of_unknown_schema(7))
    await harness.until(lambda: harness.refused.reasons == ["unknown-schema"] * 500)
    assert len(asked) == 1


def test_the_first_registry_that_is_met_is_obeyed_for_ever() -> None:
    origin, bucket = MemoryStore("origin"), MemoryStore("region")
    with pytest.raises(NotFound):
        RegistryWatch(origin, bucket).check()
    origin.put(keys.REGISTRY_ID, encode_registry_id("one"))
    assert RegistryWatch(origin, bucket).check() == "one"
    assert RegistryWatch(origin, bucket).remembered() == "one"
    origin.put(keys.REGISTRY_ID, encode_registry_id("two"))
    with pytest.raises(ForeignRegistry):
        RegistryWatch(origin, bucket).check()
    origin.delete(keys.REGISTRY_ID)
    with pytest.raises(ForeignRegistry):
        RegistryWatch(origin, bucket).check()
    bucket.put(keys.REGISTRY_ID, b"[]")
    with pytest.raises(Refused):
        RegistryWatch(origin, bucket).check()


def test_models_are_those_of_the_registry_and_those_that_the_region_has_met() -> None:
    origin, bucket = MemoryStore("origin"), MemoryStore("region")
    origin.put(keys.log_entry("fraud", 1), b"x")
    bucket.put(keys.region_state("churn"), b"x")
    assert RegistryWatch(origin, bucket).models() == {"fraud", "churn"}
