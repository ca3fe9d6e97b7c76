"""Pages in, snapshots out: what is written, what is dropped, what is kept waiting."""

from dataclasses import replace

from modelcast.agents.tracker.decider.snapshots import EMPTY, PENDING_MAX, RegionRows, Snapshot, repeats
from modelcast.schemas.records import ModelAck, PodReport
from tests.agents.tracker.makers import SECOND, pages, pod, rows_of, taken

PODS = [pod(f"pod-{n}", 1, 1) for n in range(4)]


def snapshot(sequence: int, page_count: int = 1, epoch: int = 1) -> list[ModelAck]:
    return pages("eu", PODS, epoch=epoch, sequence=sequence, page_count=page_count)


def orders(rows: RegionRows) -> tuple[tuple[int, ...] | None, list[tuple[int, ...]]]:
    return (rows.complete.order if rows.complete else None, [s.order for s in rows.pending])


def test_a_snapshot_counts_once_its_last_page_is_here() -> None:
    first, second = snapshot(1, 2)
    half = taken(EMPTY, first)
    assert (half.completed, orders(half.rows)) == (False, (None, [(1, 1, 2)]))
    whole = taken(half.rows, second)
    assert (whole.completed, orders(whole.rows)) == (True, ((1, 1, 2), []))
    assert whole.rows.complete is not None
    assert sum(g.count for g in whole.rows.complete.pods) == 4


def test_what_is_known_is_not_written_again() -> None:
    first, second = snapshot(1, 2)
    half = taken(EMPTY, first).rows
    assert taken(half, first).write is None
    whole = taken(half, second).rows
    for page in (first, second):
        again = taken(whole, page)
        assert (again.write, again.delete, again.completed, again.rows) == (None, (), False, whole)


def test_the_old_snapshot_counts_until_the_new_one_is_complete() -> None:
    rows = rows_of([*snapshot(1), snapshot(2, 2)[1]])
    assert orders(rows) == ((1, 1, 1), [(1, 2, 2)])


def test_a_one_page_snapshot_is_one_write_in_the_same_place() -> None:
    change = taken(rows_of(snapshot(1)), snapshot(2)[0])
    assert (change.write, change.delete, change.completed) == ((0, 0), (), True)


def test_a_shrinking_region_leaves_no_pages_behind() -> None:
    change = taken(rows_of(snapshot(1, 3)), snapshot(2)[0])
    assert change.write == (0, 0)
    assert set(change.delete) == {(0, 1), (0, 2)}


def test_completing_a_snapshot_drops_every_lower_one() -> None:
    rows = rows_of([*snapshot(1), snapshot(2, 2)[0], snapshot(4, 2)[0]])
    change = taken(rows, snapshot(3)[0])
    assert orders(change.rows) == ((1, 3, 1), [(1, 4, 2)])
    assert len(change.delete) == 2  # the complete one's page and the lower pending one's


def test_lost_pages_do_not_pile_up() -> None:
    rows, written, deleted = EMPTY, set(), set()
    for sequence in range(1, 100):
        change = taken(rows, snapshot(sequence, 2)[0])
        rows = change.rows
        if change.write:
            written.add(change.write)
        deleted |= set(change.delete)
    assert orders(rows) == (None, [(1, n, 2) for n in range(100 - PENDING_MAX, 100)])
    assert len(written) <= PENDING_MAX + 1  # places are used again


# --- numbers that somebody made up ------------------------------------------------------------------------

FORGED = 2**62
NOW_US = 10_000 * SECOND


def forged(page_count: int = 1, at_us: int = 5 * SECOND, sequence: int = FORGED) -> list[ModelAck]:
    return [replace(page, reported_at_us=at_us) for page in snapshot(sequence, page_count)]


def test_a_page_that_was_written_later_overrules_a_higher_number() -> None:
    change = taken(rows_of(forged()), snapshot(6)[0], NOW_US)
    assert orders(change.rows) == ((1, 6, 1), [])
    assert (change.write, change.delete, change.completed, change.overruled) == ((0, 0), (), True, True)


def test_a_page_that_was_written_earlier_overrules_nothing() -> None:
    rows = rows_of(forged())
    for sequence in (4, 5):
        change = taken(rows, snapshot(sequence)[0], NOW_US)
        assert (change.rows, change.write, change.delete, change.overruled) == (rows, None, (), False)


def test_a_time_that_has_not_come_protects_no_number() -> None:
    rows = rows_of(forged(at_us=2**62))
    assert orders(taken(rows, snapshot(6)[0], NOW_US).rows) == ((1, 6, 1), [])


def test_a_late_page_of_a_region_whose_clock_is_ahead_overrules_nothing() -> None:
    rows = rows_of(snapshot(9))
    assert taken(rows, snapshot(8)[0], now_us=-3600 * SECOND).rows == rows


def test_a_region_of_many_pages_overrules_a_higher_number_too() -> None:
    rows = rows_of(forged(3)[::-1])
    first, second = snapshot(6, 2)
    half = taken(rows, first)
    assert (orders(half.rows), half.overruled) == ((None, [(1, 6, 2)]), True)
    assert {half.write, *half.delete} == {(0, 0), (0, 1), (0, 2)}
    assert orders(taken(half.rows, second).rows) == ((1, 6, 2), [])


def test_made_up_pages_that_are_never_completed_hold_up_no_snapshot() -> None:
    rows = rows_of(page for n in range(PENDING_MAX) for page in forged(2, sequence=FORGED + n)[:1])
    first, second = snapshot(6, 2)
    half = taken(rows, first)
    assert len(half.delete) == PENDING_MAX - 1  # the new page lies in the place of one of them
    assert orders(taken(half.rows, second).rows) == ((1, 6, 2), [])


def test_the_same_number_counts_as_it_was_written_last() -> None:
    change = taken(rows_of(forged(sequence=6)), replace(snapshot(6)[0], error="true"))
    assert change.rows.complete is not None
    assert change.rows.complete.header.error == "true"


def test_an_older_owner_overrules_nothing() -> None:
    rows = rows_of(snapshot(1, epoch=2))
    assert taken(rows, snapshot(9, epoch=1)[0]).rows == rows


def completed(sequence: int, pods: list[PodReport], *, error: str = "", epoch: int = 1) -> Snapshot:
    (page,) = pages("eu", pods, sequence=sequence, epoch=epoch)
    snapshot = taken(EMPTY, replace(page, error=error, reported_at_us=sequence * SECOND)).rows.complete
    assert snapshot is not None
    return snapshot


def test_a_report_repeats_another_if_only_times_differ() -> None:
    before = completed(1, [pod("a", 1, 1, read_at_us=SECOND), pod("b", 1, 1, read_at_us=SECOND)])
    assert repeats(completed(2, [pod("a", 1, 1, read_at_us=9 * SECOND), pod("b", 1, 1, read_at_us=9 * SECOND)]), before)
    assert not repeats(before, None)
    for other in (
        completed(2, [pod("a", 1, 1), pod("b", 1, 2)]),
        completed(2, [pod("a", 1, 1), pod("c", 1, 1)]),
        completed(2, [pod("a", 1, 1)]),
        completed(2, [pod("a", 1, 1), pod("b", 1, 1)], error="out of memory"),
        completed(2, [pod("a", 1, 1), pod("b", 1, 1)], epoch=2),
    ):
        assert not repeats(other, before)
