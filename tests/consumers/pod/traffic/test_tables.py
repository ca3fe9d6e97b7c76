"""Which table of shares a pod goes by: never an older one, never one that divides between versions of before."""

from dataclasses import replace
from pathlib import Path

import pytest

from modelcast.consumers.pod.traffic.tables import KeptTable, TableFolder, admits, gives_less
from modelcast.consumers.pod_clients.port import PodRefused
from tests.consumers.pod.traffic.laned_engine import order
from tests.consumers.pod.traffic.traffic_tables import arm, table

ONE, TWO, THREE = ((version, order(version).manifest_digest) for version in (1, 2, 3))
CANARY = table(ONE, TWO, 100, generation=5, epoch=2, sequence=3)


def test_a_higher_authority_is_admitted_and_the_same_table_changes_nothing() -> None:
    kept = KeptTable(CANARY)
    assert admits(KeptTable(), CANARY, None)
    assert not admits(kept, CANARY, "registry")
    for generation, epoch, sequence in ((6, 1, 1), (5, 3, 1), (5, 2, 4)):
        assert admits(kept, replace(CANARY, generation=generation, epoch=epoch, sequence=sequence), None)


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"generation": 4, "epoch": 9, "sequence": 9}, "stale"),
        ({"epoch": 1, "sequence": 9}, "stale"),
        ({"sequence": 2}, "stale"),
        ({"salt": "another"}, "conflict"),
        ({"rollout": "another"}, "conflict"),
        ({"registry_id": "another", "generation": 9}, "foreign_registry"),
    ],
)
def test_what_is_refused_is_refused_with_a_code(changed: dict[str, object], code: str) -> None:
    with pytest.raises(PodRefused) as caught:
        admits(KeptTable(CANARY), replace(CANARY, **changed), "registry")  # type: ignore[arg-type]
    assert caught.value.code == code


def test_by_one_authority_a_candidate_gets_less_and_never_more_again() -> None:
    half = table(ONE, TWO, 5000, shadow=5000)
    assert admits(KeptTable(half), table(ONE, TWO, 100, shadow=5000), None)
    assert admits(KeptTable(half), table(ONE, TWO, 5000, shadow=10), None)
    none = replace(half, control=arm(*ONE, 10_000), candidates=(arm(*TWO, 0),), shadow=None)
    assert admits(KeptTable(half), none, None)
    for more in (
        table(ONE, TWO, 5001, shadow=5000),
        table(ONE, TWO, 5000, shadow=5001),
        table(ONE, THREE, 100),
        table(THREE, TWO, 100),
        half,
    ):
        with pytest.raises(PodRefused) as caught:
            admits(KeptTable(none), more, None)
        assert caught.value.code == "conflict"


def test_a_flip_that_is_to_come_may_be_taken_back_and_not_brought_forward() -> None:
    later = table(ONE, TWO, 10_000, not_before_us=5)
    assert admits(KeptTable(later), table(ONE, TWO, 0), None)
    for other in (table(ONE, TWO, 10_000), table(ONE, TWO, 10_000, not_before_us=4)):
        assert not gives_less(later, other)
    assert not gives_less(table(ONE, TWO, 10_000), later)
    assert gives_less(later, table(ONE, TWO, 9000, not_before_us=5))


def test_a_promotion_voids_the_table_for_good_also_after_the_way_back() -> None:
    promoted = KeptTable(CANARY).voided_by(order(2, 7), order(1))
    assert promoted == KeptTable(None, 7)
    with pytest.raises(PodRefused, match="generation 5 is lower than 7"):
        admits(promoted, CANARY, None)
    after = table(TWO, None, 0, generation=7)
    assert admits(promoted, after, None)
    back = KeptTable(after, 7).voided_by(order(1, 8), order(2, 7))
    assert back == KeptTable(None, 8)


def test_a_table_that_came_before_the_promotion_it_belongs_to_stays() -> None:
    after = table(TWO, None, 0, generation=7)
    assert KeptTable(after).voided_by(order(2, 7), order(1)) == KeptTable(after)
    newer = table(THREE, None, 0, generation=9)
    assert KeptTable(newer).voided_by(order(2, 7), order(1)) == KeptTable(newer)


def test_without_a_table_a_change_of_the_control_outdates_those_of_before_but_a_start_does_not() -> None:
    assert KeptTable().voided_by(order(2, 7), order(1)) == KeptTable(None, 7)
    assert KeptTable().voided_by(order(2, 7), None) == KeptTable()
    assert KeptTable(CANARY).voided_by(order(3, 9), None) == KeptTable(None, 9), "promoted while the pod was down"


def test_what_was_written_is_read_again_and_what_is_damaged_is_left_out(tmp_path: Path) -> None:
    folder = TableFolder(tmp_path)
    for model, kept in (("m", KeptTable(CANARY, 2)), ("n", KeptTable(None, 7)), ("torn", KeptTable(CANARY))):
        folder.write(model, kept)
    (tmp_path / "torn.json").write_bytes(b'{"floor": 1, "table": "{')
    again = TableFolder(tmp_path)
    assert again.read() == {"m": KeptTable(CANARY, 2), "n": KeptTable(None, 7)}
    assert again.models == {"m", "n", "torn"}
