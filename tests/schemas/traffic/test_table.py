"""The table of shares: who gets what, what a grant leaves of it, and what is no table."""

import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelcast.schemas.errors import ContentError, DecodeError
from modelcast.schemas.records import CommandKind
from modelcast.schemas.traffic.bucket import BUCKETS, bucket_of
from modelcast.schemas.traffic.request_key import KeySource, RequestKey, key_bytes
from modelcast.schemas.traffic.table import (
    TABLE_SIZE_MAX,
    SlowThresholds,
    TrafficArm,
    choose_arm,
    clamp,
    decode_table,
    encode_table,
    table_digest,
)
from tests.schemas.traffic.makers import digest_of_version, log_with_rollout, rollout_step, rollout_word, share_table

SHARES = st.integers(0, BUCKETS)


@given(SHARES, SHARES, st.integers(0, BUCKETS - 1))
def test_while_a_share_grows_nobody_goes_back_to_the_control(one: int, other: int, bucket: int) -> None:
    small, large = sorted((one, other))
    if choose_arm(share_table(small).arms, bucket).version == 8:
        assert choose_arm(share_table(large).arms, bucket).version == 8


@given(SHARES)
def test_a_share_is_just_so_many_buckets(share: int) -> None:
    for bucket in {0, max(0, share - 1), min(share, BUCKETS - 1), BUCKETS - 1}:
        assert choose_arm(share_table(share).arms, bucket).version == (8 if bucket < share else 7)


def test_one_user_meets_one_version_in_every_pod() -> None:
    eu = share_table(1_000)
    us = decode_table(encode_table(replace(eu, epoch=9, sequence=4)))
    for user in range(2_000):
        key = b"%d" % user
        assert choose_arm(eu.arms, bucket_of(eu.salt, key)) == choose_arm(us.arms, bucket_of(us.salt, key))


def test_until_its_time_comes_the_shares_before_it_are_in_force() -> None:
    before = (TrafficArm(8, digest_of_version(8), 0), TrafficArm(7, digest_of_version(7), BUCKETS))
    table = share_table(BUCKETS, not_before_us=500, before=before)
    assert [choose_arm(table.arms_at(now), 0).version for now in (499, 500)] == [7, 8]


@settings(max_examples=100, deadline=None)
@given(SHARES, SHARES)
def test_a_grant_leaves_no_more_than_its_ceiling(share: int, ceiling: int) -> None:
    grant = log_with_rollout(rollout_step(4, ceiling)).grant("eu")
    kept = clamp(share_table(share), grant)
    assert kept.share == min(share, ceiling)
    assert kept.authority == share_table(share).authority


@pytest.mark.parametrize("kind", [CommandKind.ROLLOUT_ABORT, CommandKind.ROLLOUT_PROMOTE])
def test_a_rollout_that_is_over_lets_the_aspired_version_answer_everything(kind: CommandKind) -> None:
    log = log_with_rollout(rollout_step(4, 5_000), rollout_word(5, kind))
    kept = clamp(share_table(5_000), log.grant("eu"))
    assert [choose_arm(kept.arms, bucket).version for bucket in (0, 9_999)] == [log.aspired_version("eu")] * 2


def test_without_a_grant_or_with_anothers_no_candidate_gets_anything() -> None:
    other = log_with_rollout(rollout_step(4, 5_000)).grant("eu")
    assert other is not None
    assert clamp(share_table(5_000), None).share == 0
    assert clamp(share_table(5_000, rollout="4"), other).share == 0
    lying = share_table(5_000, candidates=(TrafficArm(8, digest_of_version(9), 5_000),))
    assert clamp(lying, other).share == 0, "other bytes under the candidate's number"


def test_a_grant_clamps_the_shares_before_a_switch_as_well() -> None:
    before = (TrafficArm(8, digest_of_version(8), 4_000), TrafficArm(7, digest_of_version(7), 6_000))
    table = share_table(BUCKETS, not_before_us=500, before=before)
    kept = clamp(table, log_with_rollout(rollout_step(4, 1_000)).grant("eu"))
    assert [arms[0].share for arms in (kept.before, kept.arms)] == [1_000, 1_000]


def test_a_region_that_aspires_to_another_control_keeps_it() -> None:
    table = share_table(1_000, control=TrafficArm(6, digest_of_version(6), 9_000))
    assert clamp(table, log_with_rollout(rollout_step(4, 1_000)).grant("eu")).control.version == 7


def test_a_table_comes_back_from_its_bytes() -> None:
    table = share_table(
        1_000,
        key=RequestKey(KeySource.HEADER, "x-user"),
        shadow=TrafficArm(9, digest_of_version(9), 500),
        thresholds=SlowThresholds(900, 1_080, 1_350),
    )
    assert decode_table(encode_table(table)) == table
    assert table_digest(table) != table_digest(replace(table, sequence=2))


def test_shares_that_are_not_all_requests_make_no_table() -> None:
    with pytest.raises(ContentError, match="add up"):
        share_table(1_000, control=TrafficArm(7, digest_of_version(7), 1))
    with pytest.raises(ContentError, match="twice"):
        share_table(1_000, control=TrafficArm(8, digest_of_version(8), 9_000))
    with pytest.raises(ContentError, match="bad share"):
        TrafficArm(7, digest_of_version(7), 10_001)


FIELDS = json.loads(encode_table(share_table()))


@pytest.mark.parametrize(
    "damage",
    [
        {"format": 2},
        {"model": "No Model"},
        {"generation": -1},
        {"generation": True},
        {"salt": "a\nb"},
        {"key": "cookie:x"},
        {"control": None},
        {"control": {"version": 7, "manifest_digest": digest_of_version(7), "share": 9_001}},
        {"candidates": [{}]},
        {"candidates": {}},
        {"slow_us": [1, 2]},
        {"slow_us": [1, 2, "3"]},
        {"before": [{"version": 7, "manifest_digest": digest_of_version(7), "share": 10_000}]},
        {"more": 1},
    ],
    ids=lambda damage: next(iter(damage)),
)
def test_what_is_no_table_is_refused(damage: dict[str, object]) -> None:
    with pytest.raises(DecodeError):
        decode_table(json.dumps({**FIELDS, **damage}).encode())


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=400) | st.text(max_size=100).map(str.encode))
def test_garbage_is_refused_and_nothing_else_happens(data: bytes) -> None:
    with pytest.raises(DecodeError):
        decode_table(data)


def test_a_table_that_is_too_large_is_not_read() -> None:
    with pytest.raises(DecodeError, match="at most"):
        decode_table(b" " * (TABLE_SIZE_MAX + 1))


@pytest.mark.parametrize(
    ("value", "key"),
    [("ann", b"ann"), (17, b"17"), (["ann"], b"ann"), (-3, b"-3")],
)
def test_a_field_names_who_asks(value: object, key: bytes) -> None:
    assert key_bytes(value) == key


@pytest.mark.parametrize("value", ["", None, True, 1.5, [], ["a", "b"], [["a"]], {"a": 1}, 1 << 80])
def test_what_names_nobody_is_drawn_by_itself(value: object) -> None:
    assert key_bytes(value) is None
