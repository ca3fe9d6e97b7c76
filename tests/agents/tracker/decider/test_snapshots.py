"""Pages in, snapshots out: what is written, what is dropped, what is kept waiting."""

from modelcast.agents.tracker.decider.snapshots import EMPTY, PENDING_MAX, RegionRows, take
from modelcast.schemas.records import ModelAck
from tests.agents.tracker.makers import pages, pod, rows_of

PODS = [pod(f"pod-{n}", 1, 1) for n in range(4)]


def snapshot(sequence: int, page_count: int = 1, epoch: int = 1) -> list[ModelAck]:
    return pages("eu", PODS, epoch=epoch, sequence=sequence, page_count=page_count)


def orders(rows: RegionRows) -> tuple[tuple[int, ...] | None, list[tuple[int, ...]]]:
    return (rows.complete.order if rows.complete else None, [s.order for s in rows.pending])


def test_a_snapshot_counts_once_its_last_page_is_here() -> None:
    first, second = snapshot(1, 2)
    half = take(EMPTY, first)
    assert (half.completed, orders(half.rows)) == (False, (None, [(1, 1, 2)]))
    whole = take(half.rows, second)
    assert (whole.completed, orders(whole.rows)) == (True, ((1, 1, 2), []))
    assert whole.rows.complete is not None
    assert sum(g.count for g in whole.rows.complete.pods) == 4


def test_what_is_known_is_not_written_again() -> None:
    first, second = snapshot(1, 2)
    half = take(EMPTY, first).rows
    assert take(half, first).write is None
    whole = take(half, second).rows
    for page in (first, second):
        again = take(whole, page)
        assert (again.write, again.delete, again.completed, again.rows) == (None, (), False, whole)


def test_the_old_snapshot_counts_until_the_new_one_is_complete() -> None:
    rows = rows_of([*snapshot(1), snapshot(2, 2)[1]])
    assert orders(rows) == ((1, 1, 1), [(1, 2, 2)])


def test_an_older_owner_says_nothing_new() -> None:
    rows = rows_of(snapshot(1, epoch=2))
    assert take(rows, snapshot(9, epoch=1)[0]).rows == rows


def test_a_one_page_snapshot_is_one_write_in_the_same_place() -> None:
    change = take(rows_of(snapshot(1)), snapshot(2)[0])
    assert (change.write, change.delete, change.completed) == ((0, 0), (), True)


def test_a_shrinking_region_leaves_no_pages_behind() -> None:
    change = take(rows_of(snapshot(1, 3)), snapshot(2)[0])
    assert change.write == (0, 0)
    assert set(change.delete) == {(0, 1), (0, 2)}


def test_completing_a_snapshot_drops_every_lower_one() -> None:
    rows = rows_of([*snapshot(1), snapshot(2, 2)[0], snapshot(4, 2)[0]])
    change = take(rows, snapshot(3)[0])
    assert orders(change.rows) == ((1, 3, 1), [(1, 4, 2)])
    assert len(change.delete) == 2  # the complete one's page and the lower pending one's


def test_lost_pages_do_not_pile_up() -> None:
    rows, written, deleted = EMPTY, set(), set()
    for sequence in range(1, 100):
        change = take(rows, snapshot(sequence, 2)[0])
        rows = change.rows
        if change.write:
            written.add(change.write)
        deleted |= set(change.delete)
    assert orders(rows) == (None, [(1, n, 2) for n in range(100 - PENDING_MAX, 100)])
    assert len(written) <= PENDING_MAX + 1  # places are used again
