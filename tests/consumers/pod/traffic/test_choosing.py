"""Which version answers a request."""

import json
import time
from collections import Counter
from collections.abc import Mapping

import pytest
from multidict import CIMultiDict

from modelcast.consumers.pod.engine import Served
from modelcast.consumers.pod.slot import Serving, Slot
from modelcast.consumers.pod.traffic.choosing import FIELD_BODY_BYTES_MAX, ModelTraffic, field_key
from modelcast.consumers.pod.worker.frames import ALL_JSON
from modelcast.consumers.pod_clients.port import CANDIDATE
from modelcast.schemas.traffic.bucket import bucket_of
from modelcast.schemas.traffic.table import TrafficTable
from tests.consumers.pod.traffic.laned_engine import order
from tests.consumers.pod.traffic.traffic_tables import SALT, table

ONE, TWO = ((version, order(version).manifest_digest) for version in (1, 2))
NOTHING: Mapping[str, str] = CIMultiDict()


def serving(version: int, lane: str = "") -> Serving:
    wanted = order(version, lane=lane)
    return Serving(wanted, Served(version, wanted.manifest_digest, "bytes"), 0.0)


def traffic(shares: TrafficTable, *, candidate: int | None = 2) -> ModelTraffic:
    slots = {"m": Slot("m", serving=serving(1))}
    if candidate is not None:
        slots["m@candidate"] = Slot("m", CANDIDATE, serving=serving(candidate, CANDIDATE))
    return ModelTraffic("m", shares, slots, {})


def version(chosen: Serving | None) -> int:
    return chosen.order.version if chosen else 1


def test_users_meet_the_version_of_their_bucket_and_never_go_back_as_the_share_grows() -> None:
    users = [f"user-{n}" for n in range(3000)]
    before: set[str] = set()
    for share in (0, 100, 1000, 5000, 10_000):
        divided = traffic(table(ONE, TWO, share))
        now = {user for user in users if version(divided.choose(CIMultiDict({"X-User": user}), b"", ALL_JSON)[0]) == 2}
        assert now == {user for user in users if bucket_of(SALT, user.encode()) < share}
        assert before <= now
        before = now


def test_a_request_without_its_key_is_drawn_by_itself_and_known_as_such() -> None:
    divided = traffic(table(ONE, TWO, 5000))
    chosen = [divided.choose(NOTHING, b"", ALL_JSON) for _ in range(2000)]
    assert not any(keyed for _, keyed in chosen)
    assert 800 < Counter(version(found) for found, _ in chosen)[2] < 1200
    assert divided.choose(CIMultiDict({"x-user": "u"}), b"", ALL_JSON)[1]


def test_a_version_that_is_not_loaded_is_answered_for_by_the_control() -> None:
    for candidate in (None, 3):
        divided = traffic(table(ONE, TWO, 10_000), candidate=candidate)
        assert divided.choose(NOTHING, b"", ALL_JSON)[0] is None


def test_bytes_decide_not_the_number() -> None:
    other = (2, order(9).manifest_digest)
    assert traffic(table(ONE, other, 10_000)).choose(NOTHING, b"", ALL_JSON)[0] is None


def test_shares_flip_at_their_instant_and_never_back(monkeypatch: pytest.MonkeyPatch) -> None:
    now_us = [1_000_000]
    monkeypatch.setattr(time, "time_ns", lambda: now_us[0] * 1000)
    divided = traffic(table(ONE, TWO, 10_000, not_before_us=2_000_000))
    seen = []
    for now in (1_999_999, 2_000_000, 1_500_000):
        now_us[0] = now
        seen.append(version(divided.choose(NOTHING, b"", ALL_JSON)[0]))
    assert seen == [1, 2, 2]


@pytest.mark.parametrize(
    ("body", "key"),
    [
        ({"user": "ann"}, b"ann"),
        ({"parameters": {"user": 7}}, b"7"),
        ({"user": None, "parameters": {"user": "bob"}}, b"bob"),
        ({"user": {"a": 1}}, None),
        ({"parameters": ["user"]}, None),
        (["user"], None),
        ({}, None),
    ],
)
def test_a_key_stands_in_a_field_or_in_the_parameters(body: object, key: bytes | None) -> None:
    assert field_key("user", json.dumps(body).encode(), ALL_JSON) == key


def test_a_field_is_looked_for_in_the_json_alone_and_only_if_that_is_small() -> None:
    head = b'{"user": "ann"}'
    assert field_key("user", head + b"\xff\x00", len(head)) == b"ann"
    assert field_key("user", b'{"user": "ann', ALL_JSON) is None
    large = json.dumps({"user": "ann", "more": "x" * FIELD_BODY_BYTES_MAX}).encode()
    assert field_key("user", large, ALL_JSON) is None


def test_a_candidate_is_waited_for_ten_times_as_long_as_the_control_is_slow_but_at_least_a_second() -> None:
    assert traffic(table(ONE, TWO, 100)).candidate_seconds_max(60.0) == 60.0, "nothing is known yet"
    assert traffic(table(ONE, TWO, 100, slow_us=500)).candidate_seconds_max(60.0) == 1.0
    assert traffic(table(ONE, TWO, 100, slow_us=2_000_000)).candidate_seconds_max(60.0) == 20.0
    assert traffic(table(ONE, TWO, 100, slow_us=2_000_000)).candidate_seconds_max(5.0) == 5.0
    divided = traffic(table(ONE, TWO, 100))
    divided.count(serving(1), 200, 0.3, 0, keyed=True)
    assert divided.candidate_seconds_max(60.0) == pytest.approx(3.0)
