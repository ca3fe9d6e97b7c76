"""What is counted of a version, and how it is reported."""

from dataclasses import replace

import orjson
import pytest

from modelcast.consumers.pod.traffic.tally import VersionTally
from modelcast.consumers.pod.worker.frames import EMPTY, NOT_FINITE, REPEATED, SCORE_SHIFT
from modelcast.consumers.pod_clients.port import PodTraffic, PodUnreachable
from modelcast.consumers.pod_clients.traffic import decode_pod_traffic, encode_pod_traffic
from modelcast.schemas.traffic.reports import VersionCounts, latency_bucket
from modelcast.schemas.traffic.table import SlowThresholds

DIGEST = "sha256:" + "a" * 64
SLOW = SlowThresholds(slow_us=1000, slow_harmful_us=1200, slow_harmless_us=1500)


def tally(*answers: tuple[int, float, int]) -> VersionTally:
    found = VersionTally(8, DIGEST)
    for status, seconds, seen in answers:
        found.ended(status, seconds, seen, keyed=False, slow=SLOW)
    return found


def test_errors_of_the_server_are_the_versions_and_errors_of_clients_are_not() -> None:
    counts = tally((200, 0.0001, 0), (500, 0.0001, 0), (503, 0.0001, 0), (504, 0.0001, 0), (400, 9.0, 0)).counts(
        ready=True
    )
    assert (counts.requests, counts.failed, counts.timed_out, counts.rejected, counts.errors) == (4, 2, 1, 1, 3)
    assert sum(counts.latency) == 4


def test_slow_answers_are_counted_against_the_thresholds_that_were_told() -> None:
    counts = tally((200, 0.0009, 0), (200, 0.0011, 0), (200, 0.0013, 0), (200, 0.0016, 0)).counts(ready=True)
    assert (counts.slow, counts.slow_harmful, counts.slow_harmless) == (3, 2, 1)
    assert counts.latency[latency_bucket(900)] == 1
    assert counts.latency[-1] > 0, "buckets at the end that are empty are left out"


def test_without_thresholds_nothing_is_slow() -> None:
    found = VersionTally(8, DIGEST)
    found.ended(200, 60.0, 0, keyed=True, slow=SlowThresholds())
    assert (found.slow, found.requests, found.keyless) == (0, 1, 0)


def test_what_outputs_are_like_is_counted() -> None:
    found = tally((200, 0.1, NOT_FINITE), (200, 0.1, REPEATED), (200, 0.1, NOT_FINITE | REPEATED))
    assert (found.bad_answers, found.repeated, found.keyless) == (2, 2, 3)


def test_only_answers_were_looked_at_and_their_scores_are_counted_by_bin() -> None:
    counts = tally((200, 0.1, 0), (200, 0.1, EMPTY), (200, 0.1, (3 + 1) << SCORE_SHIFT), (500, 0.1, 0)).counts(
        ready=True
    )
    assert (counts.looked, counts.empty, counts.scores, counts.requests) == (3, 1, (0, 0, 0, 1), 4)


READING = PodTraffic(
    *("pod-a", "0123456789abcdef", 5, 6, (7, 1, 2), DIGEST, "r1", {7: 9900, 8: 100}),
    (VersionCounts(8, DIGEST, ready=True, requests=3, latency=(0, 3), looked=3, scores=(1, 2)),),
    *({8: 1}, {8: 0}),
)


def test_a_reading_survives_its_way() -> None:
    assert decode_pod_traffic(orjson.loads(encode_pod_traffic(READING)), "pod-a") == READING
    none = replace(READING, authority=(0, 0, 0), table_digest="", versions=())
    assert decode_pod_traffic(orjson.loads(encode_pod_traffic(none)), "pod-a") == none


@pytest.mark.parametrize(
    "changed",
    [
        {"authority": [1, 2]},
        {"authority": [1, 2, -3]},
        {"authority": None},
        {"table_digest": "sha256:short"},
        {"versions": [{}]},
        {"versions": 5},
        {"incarnation": "x" * 257},
        {"rollout": 5},
        {"shares": [1, 2]},
        {"keyless": {"8": 2**70}},
        {"keyless": {"eight": 1}},
        {"sequence": True},
    ],
)
def test_nonsense_is_no_reading(changed: dict[str, object]) -> None:
    body = orjson.loads(encode_pod_traffic(READING)) | changed
    with pytest.raises(PodUnreachable, match="counts can't be read"):
        decode_pod_traffic(body, "pod-a")
    with pytest.raises(PodUnreachable):
        decode_pod_traffic([], "pod-a")
