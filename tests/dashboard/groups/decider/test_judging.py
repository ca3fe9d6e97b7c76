"""The statuses of consumer groups: series of offsets, and what Burrow would say of them."""

import pytest

from modelcast.dashboard.groups import GroupLook, GroupStatus, GroupView, PartitionLook
from modelcast.dashboard.groups.decider.judging import WINDOW, group_view
from modelcast.dashboard.groups.reader import is_table
from modelcast.schemas.topics import Topic

BEGAN_US, STEP_US = 1_700_000_000_000_000, 5_000_000


def looks(committed: list[int | None], ends: list[int], members: int | None = 1) -> GroupView:
    """A group of one partition whose first unread record was appended ten seconds before the last look."""
    assert len(committed) == len(ends)
    last_us = BEGAN_US + (len(ends) - 1) * STEP_US
    return group_view(
        [
            (
                BEGAN_US + place * STEP_US,
                GroupLook("g", members, (PartitionLook("t", 0, at, 0, end, last_us - 10_000_000),)),
            )
            for place, (at, end) in enumerate(zip(committed, ends, strict=True))
        ]
    )


RISING = list(range(100, 100 + WINDOW))
SERIES = {
    "read to the end": ([100] * WINDOW, [100] * WINDOW, GroupStatus.OK),
    "keeps up a little behind": (RISING, [n + 5 for n in RISING], GroupStatus.OK),
    "catches up": (RISING, [200] * WINDOW, GroupStatus.OK),
    "was at the end once in the window": ([100] * WINDOW, [100] + [150] * (WINDOW - 1), GroupStatus.OK),
    "stands with records waiting": ([100] * WINDOW, [150] * WINDOW, GroupStatus.STALL),
    "stands while more come": ([100] * WINDOW, [150 + n for n in range(WINDOW)], GroupStatus.STALL),
    "reads, and falls behind at each look": (RISING, [200 + 3 * n for n in range(WINDOW)], GroupStatus.WARN),
    "falls behind but once caught up a bit": (
        RISING,
        [200 + 3 * n - (9 if n == WINDOW - 2 else 0) for n in range(WINDOW)],
        GroupStatus.OK,
    ),
    "went back": ([*RISING[:-1], 50], [200] * WINDOW, GroupStatus.REWIND),
    "went back some looks ago": ([100, 90, *RISING[2:]], [200] * WINDOW, GroupStatus.REWIND),
    "has never committed": ([None] * WINDOW, [20] * WINDOW, GroupStatus.NONE),
    "stands, but too little was seen": ([100] * 3, [150] * 3, GroupStatus.OK),
    "just started over, first look": ([0], [900], GroupStatus.OK),
}


@pytest.mark.parametrize("name", list(SERIES))
def test_a_series_of_offsets_has_burrows_status(name: str) -> None:
    committed, ends, status = SERIES[name]
    assert looks(list(committed), ends).status is status


@pytest.mark.parametrize("name", ["stands with records waiting", "stands, but too little was seen", "catches up"])
def test_records_that_wait_for_a_group_without_members_have_stopped(name: str) -> None:
    committed, ends, _ = SERIES[name]
    assert looks(list(committed), ends, members=0).status is GroupStatus.STOP


def test_a_group_without_members_that_has_read_everything_is_well() -> None:
    assert looks([100] * WINDOW, [100] * WINDOW, members=0).status is GroupStatus.OK


def test_the_lag_is_the_wait_of_the_first_unread_record() -> None:
    view = looks([90], [100])
    assert (view.lag_seconds, view.lag_records, view.at_least) == (10.0, 10, False)


def test_what_is_all_read_has_no_lag_whatever_time_is_known() -> None:
    view = looks([100], [100])
    assert (view.lag_seconds, view.lag_records) == (0.0, 0)


def test_records_that_were_deleted_unread_make_the_lag_at_least() -> None:
    look = PartitionLook("t", 0, committed=5, start=50, end=60, unread_since_us=BEGAN_US - 1_000_000)
    view = group_view([(BEGAN_US, GroupLook("g", 1, (look,)))])
    assert (view.lag_seconds, view.lag_records, view.at_least) == (1.0, 10, True)


def test_a_time_that_could_not_be_read_is_not_known_and_never_zero() -> None:
    view = group_view([(BEGAN_US, GroupLook("g", 1, (PartitionLook("t", 0, 5, 0, 60),)))])
    assert (view.lag_seconds, view.lag_records) == (None, 55)


def test_one_partition_without_a_leader_leaves_the_others_known() -> None:
    away = PartitionLook("t", 1, 7, error="t/1: no leader")
    behind = PartitionLook("t", 0, 5, 0, 6, unread_since_us=BEGAN_US - 3_000_000)
    view = group_view([(BEGAN_US, GroupLook("g", 1, (away, behind)))])
    assert (view.status, view.lag_seconds, view.error) == (GroupStatus.ERR, 3.0, "t/1: no leader")
    assert {(p.partition, p.lag_seconds, p.status) for p in view.partitions} == {
        (0, 3.0, GroupStatus.OK),
        (1, None, GroupStatus.ERR),
    }


def test_the_group_has_the_word_of_its_worst_partition_and_the_lag_of_its_slowest() -> None:
    def at(place: int) -> GroupLook:
        now_us = BEGAN_US + place * STEP_US
        stands = PartitionLook("t", 3, 10, 0, 12, unread_since_us=now_us - 90_000_000)
        return GroupLook("g", 2, (PartitionLook("t", 0, 4, 0, 4), stands))

    view = group_view([(BEGAN_US + n * STEP_US, at(n)) for n in range(WINDOW)])
    assert (view.status, view.lag_seconds, view.partitions[0].partition) == (GroupStatus.STALL, 90.0, 3)


def test_when_it_last_read_on_is_known() -> None:
    view = looks([100, 101, 101, 101], [200] * 4)
    assert view.moved_at_us == BEGAN_US + STEP_US
    assert looks([100] * 4, [200] * 4).moved_at_us == 0
    assert looks([100, 120], [200] * 2).trend == (100, 80)


def test_a_group_whose_offsets_kafka_keeps_to_itself_is_not_said_to_be_well() -> None:
    view = group_view([(BEGAN_US, GroupLook("g", None, (), "its offsets: not authorized"))])
    assert (view.status, view.lag_records, view.lag_seconds) == (GroupStatus.ERR, None, None)


def test_the_copy_of_a_trackers_table_is_nothing_that_its_group_follows() -> None:
    assert is_table("modelcast-tracker-rows-changelog")
    assert not any(is_table(str(topic)) for topic in Topic)
