"""The fold equals its slow twin, whatever arrives in whatever order."""

from hypothesis import given, settings
from hypothesis import strategies as st

from modelcast.agents.tracker.decider.fold import Known, fold
from modelcast.agents.tracker.decider.snapshots import EMPTY, Place, restore
from modelcast.schemas.codec import decode, encode
from modelcast.schemas.log.fold import ModelLog
from modelcast.schemas.records import ModelAck, VersionState
from tests.agents.tracker.makers import SECOND, rows_of, snapshots_of, taken
from tests.agents.tracker.strategies import NOW_US, REGIONS, deliveries, logs
from tests.agents.tracker.twin import TwinRegion, TwinState, twin
from tests.support.lanes import often

HEARD = {"eu": NOW_US - SECOND, "us": NOW_US - 16 * SECOND, "ap": NOW_US - 15 * SECOND}
TIMES = {g: 100 * g * SECOND for g in range(1, 8)}
expectations = st.sampled_from((REGIONS, REGIONS, ("eu", "us"), ("eu",), ()))


def known(log: ModelLog, acks: list[ModelAck], expected: tuple[str, ...]) -> Known:
    return Known(log, TIMES, snapshots_of(acks), HEARD, expected)


def stored(table: dict[Place, ModelAck]) -> list[tuple[Place, ModelAck, bytes]]:
    return [(place, ack, b"") for place, ack in table.items()]


def as_twin(state: VersionState) -> TwinState:
    return TwinState(
        consistent_version=state.consistent_version,
        skew=state.skew,
        regions=tuple(
            TwinRegion(
                region=r.region,
                state=r.state,
                served_version=r.served_version,
                pods_serving=r.pods_serving,
                pods_expected=r.pods_expected,
                left_out=r.left_out,
                silent=r.silent,
                unread=r.unread,
                reported_version=r.reported_version,
                refused_version=r.refused_version,
                pods=frozenset(p.pod for p in r.pods),
            )
            for r in state.regions
        ),
    )


@settings(max_examples=often(400, 100), deadline=None)
@given(logs(), deliveries(), expectations)
def test_says_what_the_slow_twin_says(log: ModelLog, acks: list[ModelAck], expected: tuple[str, ...]) -> None:
    state = fold(known(log, acks, expected), NOW_US)
    assert as_twin(state) == twin(log, acks, expected, HEARD, NOW_US)
    assert decode(encode(state)) == state


@settings(max_examples=often(150, 40), deadline=None)
@given(deliveries(), st.randoms(use_true_random=False), logs())
def test_order_and_repetition_change_nothing(acks: list[ModelAck], random: object, log: ModelLog) -> None:
    other = acks * 2
    random.shuffle(other)  # type: ignore[attr-defined]
    assert fold(known(log, acks, REGIONS), NOW_US) == fold(known(log, other, REGIONS), NOW_US)


@settings(max_examples=often(150, 40), deadline=None)
@given(deliveries())
def test_rows_are_the_same_after_any_order_but_for_their_slots(acks: list[ModelAck]) -> None:
    mine = [a for a in acks if a.region == "eu"]
    forth, back = rows_of(mine), rows_of(reversed(mine))
    assert [(s.order, sorted(s.pages)) for s in forth.pending] == [(s.order, sorted(s.pages)) for s in back.pending]
    assert (forth.complete is None) == (back.complete is None)
    assert forth.complete is None or (forth.complete.order, forth.complete.header) == (
        back.complete.order,
        back.complete.header,
    )


@settings(max_examples=often(150, 40), deadline=None)
@given(deliveries(), st.integers(0, 30))
def test_a_table_gives_back_the_same_rows_wherever_a_crash_cut_it(acks: list[ModelAck], crash_at: int) -> None:
    """Each write and delete is one record of the changelog; the table may end after any of them."""
    rows, steps = EMPTY, 0
    table: dict[Place, ModelAck] = {}
    for ack in (a for a in acks if a.region == "eu"):
        before = rows
        change = taken(rows, ack)
        rows = change.rows
        operations = [("write", change.write)] if change.write else []
        operations += [("delete", p) for p in change.delete]
        for operation, place in operations:
            if steps == crash_at:
                restored = restore(stored(table)).rows
                assert restored in (before, rows)  # nothing half taken ever counts
                return
            if operation == "write":
                table[place] = ack
            else:
                del table[place]
            steps += 1
    assert restore(stored(table)).rows == rows
    assert restore(stored(table)).leftovers == ()


@settings(max_examples=often(150, 40), deadline=None)
@given(logs(), deliveries())
def test_lag_is_nothing_exactly_where_the_aspired_version_was_reported(log: ModelLog, acks: list[ModelAck]) -> None:
    for row in fold(known(log, acks, REGIONS), NOW_US).regions:
        done = row.aspired_version is None or row.reported_version == row.aspired_version
        assert (row.behind_since_us == 0) == done
        assert done or row.behind_since_us >= TIMES[1]
