"""What waits behind a record spares its reading, and never its effect."""

from types import SimpleNamespace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from modelcast.agents.tracker.backlog import Backlog, peek
from modelcast.agents.tracker.decider.rows import Rows
from modelcast.agents.tracker.intake import Intake
from modelcast.infra.registry import RegistryReader
from modelcast.infra.stores.memory import MemoryStore
from modelcast.schemas.codec import encode
from modelcast.schemas.records import ModelAck, PodReport
from modelcast.schemas.states import PodState, State
from modelcast.schemas.topics import partition_of

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
    """A record whose beginning is well."""
    return ack(sequence)[:-20]


@given(
    st.integers(0, 2**63 - 1), st.integers(0, 2**63 - 1), st.integers(0, 300), st.integers(1, 2**40),
    st.none() | st.integers(1, 2**31 - 1), st.sampled_from(["", DIGEST]), st.text(min_size=1, max_size=90),
    st.none() | st.integers(1, 2**31 - 1),
)  # fmt: skip
def test_the_beginning_of_a_record_says_what_decoding_it_says(
    epoch: int,
    sequence: int,
    pods: int,
    pages: int,
    version: int | None,
    digest: str,
    worker: str,
    refused: int | None,
) -> None:
    worker = "".join(c for c in worker if c.isprintable()) or "w"
    raw = ack(
        sequence, epoch=epoch, pods=pods, pages=pages, version=version, staged_version=version,
        staged_generation=sequence, manifest_digest=digest, worker=worker, refused_version=refused,
    )  # fmt: skip
    found = peek(raw)
    assert found is not None
    assert found.whose == (REGISTRY.encode(), MODEL.encode(), b"eu")
    assert (found.order, found.pages, found.pods) == ((epoch, sequence), pages, pods)


@given(st.binary(max_size=200), st.integers(0, 240))
def test_no_bytes_make_it_stumble(tail: bytes, kept: int) -> None:
    for raw in (tail, ack(7)[:kept] + tail):
        peek(raw)
    assert peek(None) is None


def test_only_the_newest_of_a_region_at_hand_is_read() -> None:
    records = [ack(1), ack(2), ack(1, region="us"), ack(3), ack(2, epoch=0)]
    assert [r is not None for r in left_out(records)] == [True, True, False, False, False]


def test_a_damaged_record_is_not_left_out() -> None:
    assert left_out([bad(1), ack(2), ack(3)]) == [None, *left_out([ack(2), ack(3)])]


def left_out(records: list[bytes]) -> list[Any]:
    backlog = Backlog()
    return [backlog.overtaken(raw, records[number + 1 :], REGISTRY) for number, raw in enumerate(records)]


def test_pages_and_other_registries_overtake_nothing() -> None:
    assert not any(left_out([ack(1), ack(2, pages=2), ack(2, registry_id="other"), bad(1)[:30]]))


def test_what_is_no_longer_at_hand_overtakes_nothing() -> None:
    backlog = Backlog()
    assert backlog.overtaken(ack(1), [ack(5)], REGISTRY)
    assert backlog.overtaken(ack(2), [], REGISTRY) is None
    assert backlog.overtaken(ack(3), [], REGISTRY) is None


class Judge:
    """An intake with nothing around it."""

    def __init__(self) -> None:
        self.buried: list[str] = []
        self.rows = Rows()
        anything: Any = SimpleNamespace(
            book=None, wake=lambda *_: None, registry_id=lambda: REGISTRY, open=lambda *_: None,
            dead_letter=lambda raw, *, reason, **_: self.buried.append(reason),
        )  # fmt: skip
        reader = RegistryReader(MemoryStore())
        reader.registry_id = lambda **_: REGISTRY  # type: ignore[method-assign]
        self.intake = Intake(reader, self.rows, anything, anything, anything, anything, lambda _: None)
        self.table: dict[bytes, bytes] = {}

    async def take(self, records: list[bytes]) -> None:
        for number, raw in enumerate(records):
            message: Any = SimpleNamespace(key=None, value=raw, partition=partition_of(MODEL), offset=number)
            await self.intake.ack(message, self.table, records[number + 1 :])

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
