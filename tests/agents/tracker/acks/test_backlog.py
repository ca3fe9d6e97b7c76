"""What waits behind a record spares its reading, and never its effect."""

from types import SimpleNamespace
from typing import Any

from modelcast.agents.tracker.acks.backlog import Backlog
from modelcast.agents.tracker.decider.epochs import Epochs
from modelcast.agents.tracker.decider.rows import Rows
from modelcast.agents.tracker.intake import Intake
from modelcast.infra.registry.reader import RegistryReader
from modelcast.infra.stores.memory_store import MemoryStore
from modelcast.schemas.ack_headers import AckHeaders
from modelcast.schemas.codec import decode_as, encode
from modelcast.schemas.records import ModelAck, PodReport
from modelcast.schemas.states import PodState, State
from modelcast.schemas.topics import partition_of
from tests.agents.tracker.ports import ports_of

REGISTRY, MODEL = "r", "fraud"
DIGEST = "sha256:" + "ab" * 32


def ack(sequence: int, *, epoch: int = 1, region: str = "eu", pods: int = 2, **other: Any) -> bytes:
    reports = tuple(PodReport(f"pod-{n}", PodState.SERVING, 1, DIGEST, 1, "i", 1) for n in range(pods))
    words: dict[str, Any] = {
        "registry_id": REGISTRY, "model": MODEL, "region": region, "worker": "w", "epoch": epoch, "sequence": sequence,
        "page": 0, "pages": 1, "generation": 1, "version": 1, "manifest_digest": DIGEST, "state": State.SERVING,
        "reported_at_us": 1, "pods": reports, "pods_expected": pods,
    }  # fmt: skip
    return encode(ModelAck(**(words | other)))


def bad(sequence: int) -> bytes:
    """A record whose headers are well."""
    return ack(sequence)[:-20]


def headers_of(raw: bytes) -> AckHeaders:
    """The headers that a region writes; a record that can't be decoded has those of the sound one."""
    sound = next((r for r in map(ack, range(10)) if r != raw and r.startswith(raw)), raw)
    return AckHeaders.of(decode_as(ModelAck, sound))


def written_of(raw: bytes) -> dict[str, bytes]:
    return headers_of(raw).written()


def test_only_the_newest_of_a_region_at_hand_is_read() -> None:
    records = [ack(1), ack(2), ack(1, region="us"), ack(3), ack(2, epoch=0)]
    assert left_out(records) == [True, True, False, False, False]


def test_a_damaged_record_is_not_left_out() -> None:
    assert left_out([bad(1), ack(2), ack(3)]) == [False, True, False]


def left_out(records: list[bytes]) -> list[bool]:
    backlog = Backlog()
    for number, raw in enumerate(records):
        backlog.fetched(0, number, headers_of(raw))
    return [backlog.overtaken(0, raw, headers_of(raw), REGISTRY) for raw in records]


def test_pages_and_other_registries_overtake_nothing() -> None:
    assert not any(left_out([ack(1), ack(2, pages=2), ack(2, registry_id="other"), bad(1)]))


def test_without_headers_nothing_is_left_out_and_nothing_is_overtaken() -> None:
    backlog = Backlog()
    backlog.fetched(0, 0, None)
    backlog.fetched(0, 1, headers_of(ack(2)))
    assert not backlog.overtaken(0, ack(1), None, REGISTRY)
    backlog = Backlog()
    backlog.fetched(0, 0, headers_of(ack(1)))
    backlog.fetched(0, 1, None)
    assert not backlog.overtaken(0, ack(1), headers_of(ack(1)), REGISTRY)


def test_what_was_taken_overtakes_nothing_any_more() -> None:
    backlog = Backlog()
    for offset, sequence in enumerate((5, 2, 3)):
        backlog.fetched(0, offset, headers_of(ack(sequence)))
    assert [backlog.overtaken(0, ack(n), headers_of(ack(n)), REGISTRY) for n in (5, 2, 3)] == [False] * 3


def test_another_partition_overtakes_nothing() -> None:
    backlog = Backlog()
    backlog.fetched(1, 0, headers_of(ack(2)))
    assert not backlog.overtaken(0, ack(1), headers_of(ack(1)), REGISTRY)


class Judge:
    """An intake with nothing around it."""

    def __init__(self) -> None:
        self.buried: list[str] = []
        self.rows, epochs = Rows(), Epochs()
        self.rows.row(MODEL)
        anything: Any = SimpleNamespace(
            wake=lambda *_: None, registry_id=lambda: REGISTRY, open=lambda *_: None,
        )  # fmt: skip
        sender = SimpleNamespace(dead_letter=lambda raw, *, reason, **_: self.buried.append(reason))
        reader = RegistryReader(MemoryStore())
        reader.registry_id = lambda **_: REGISTRY  # type: ignore[method-assign]
        self.intake = Intake(
            reader,
            self.rows,
            anything,
            epochs,
            anything,
            ports_of(sender=sender),
            anything,
            SimpleNamespace(changed=lambda _: None, repeated=lambda *_: None, leave_out=lambda _: None),
            ("ap", "eu", "us"),
        )
        for region in ("eu", "us"):
            epochs.trust(MODEL, region, 9)
        self.table: dict[bytes, bytes] = {}

    async def take(self, records: list[bytes], headers: list[dict[str, bytes]] | None = None) -> None:
        messages: list[Any] = [
            SimpleNamespace(
                topic="model-acks", key=None, value=raw, partition=partition_of(MODEL), offset=number,
                headers=tuple(written.items()), timestamp=1.0,
            )
            for number, (raw, written) in enumerate(zip(records, headers or map(written_of, records), strict=True))
        ]  # fmt: skip
        self.intake.fetched(messages)
        for message in messages:
            await self.intake.ack(message, self.table)

    @property
    def sequences(self) -> dict[str, int]:
        complete = {r: rows.complete for r, rows in self.rows.row(MODEL).regions.items()}
        return {r: s.order[1] for r, s in complete.items() if s is not None}


async def test_leaving_out_ends_where_reading_everything_does() -> None:
    records = [ack(1), ack(1, region="us"), ack(2), ack(4), ack(3), ack(2, region="us")]
    judge, slow = Judge(), Judge()
    await judge.take(records)
    for raw in records:
        await slow.take([raw])
    assert judge.sequences == slow.sequences == {"eu": 4, "us": 2}
    assert judge.table == slow.table
    assert judge.rows.row(MODEL).regions == slow.rows.row(MODEL).regions


async def test_a_bad_record_is_buried_and_what_it_overtook_is_folded() -> None:
    judge = Judge()
    await judge.take([ack(1), ack(2), bad(3)])
    assert judge.buried == ["malformed"]
    assert judge.sequences == {"eu": 2}
    assert list(judge.table.values()) == [ack(2)]


async def test_a_bad_record_after_a_good_one_brings_nothing_old_back() -> None:
    judge = Judge()
    await judge.take([ack(1), ack(2), ack(4)])
    await judge.take([bad(5)])
    assert judge.sequences == {"eu": 4}


async def test_a_record_whose_headers_say_something_else_goes_to_the_dead_letters() -> None:
    judge = Judge()
    await judge.take([ack(1), ack(2)], [written_of(ack(1)), written_of(ack(9))])
    assert judge.buried == ["headers-differ"]
    assert judge.sequences == {"eu": 1}


async def test_records_without_headers_are_all_folded() -> None:
    judge = Judge()
    await judge.take([ack(1), ack(2), ack(3)], [{}, {}, {}])
    assert judge.sequences == {"eu": 3}


def test_what_was_noted_and_never_came_leaves_nothing_out_that_stands_behind_it() -> None:
    backlog = Backlog()
    backlog.fetched(0, 3, headers_of(ack(9)))
    assert not backlog.overtaken(0, ack(1), headers_of(ack(1)), REGISTRY, 4)
