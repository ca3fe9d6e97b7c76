"""The bucket function: one number for one key everywhere, a new draw for each salt, shares as they are asked for."""

import json
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from modelcast.schemas.traffic.bucket import BUCKETS, bucket_of

FIXTURE = Path(__file__).with_name("buckets.json")
KEYS = [b"user-%d" % n for n in range(20_000)]


def test_the_fixture_for_other_languages_holds_what_this_function_says() -> None:
    rows = json.loads(FIXTURE.read_text())["buckets"]
    assert len(rows) >= 100
    assert [bucket_of(salt, bytes.fromhex(key)) for salt, key, _ in rows] == [bucket for *_, bucket in rows]


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=20), st.binary(max_size=60))
def test_a_bucket_is_one_of_ten_thousand_and_always_the_same(salt: str, key: bytes) -> None:
    assert 0 <= bucket_of(salt, key) < BUCKETS
    assert bucket_of(salt, key) == bucket_of(salt, key)


def test_a_share_of_the_buckets_is_that_share_of_the_users() -> None:
    inside = sum(bucket_of("salt", key) < 1_000 for key in KEYS)
    assert abs(inside - 2_000) < 4 * (2_000 * 0.9) ** 0.5


def test_another_salt_draws_others() -> None:
    first = {key for key in KEYS if bucket_of("one", key) < 1_000}
    both = {key for key in first if bucket_of("two", key) < 1_000}
    assert abs(len(both) - len(first) / 10) < 4 * (len(first) * 0.09) ** 0.5
