"""The topics as data, and the partitioner that everybody must share."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelcast.schemas.topics import (
    DEAD_LETTER_KEPT_MAX,
    MODEL_PARTITIONS,
    RECORD_SIZE_MAX,
    TOPICS,
    Topic,
    murmur2,
    partition_of,
)
from tests.support.records.record_strategies import model_names


@given(st.binary(max_size=80))
@settings(max_examples=500, deadline=None)
def test_murmur2_is_aiokafkas(key: bytes) -> None:
    from aiokafka.partitioner import murmur2 as theirs

    assert murmur2(key) == theirs(key) & 0xFFFFFFFF


@pytest.mark.parametrize(
    ("key", "value"),
    # org.apache.kafka.common.utils.UtilsTest.testMurmur2
    [
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
    ],
)
def test_murmur2_is_kafkas_own(key: bytes, value: int) -> None:
    assert murmur2(key) == value & 0xFFFFFFFF


@given(model_names, st.integers(1, 50))
@settings(max_examples=300, deadline=None)
def test_a_model_has_the_partition_that_aiokafkas_partitioner_gives_it(model: str, partitions: int) -> None:
    from aiokafka.partitioner import DefaultPartitioner

    everyone = list(range(partitions))
    assert partition_of(model, partitions) == DefaultPartitioner()(model.encode(), everyone, everyone)


def test_every_topic_is_specified_once() -> None:
    assert sorted(spec.name for spec in TOPICS) == sorted(Topic)


def test_the_topics_keyed_by_model_have_one_partition_count() -> None:
    by_name = {spec.name: spec for spec in TOPICS}
    for name in (
        *(Topic.MODEL_UPDATES, Topic.MODEL_ACKS, Topic.VERSION_STATE, Topic.VERSION_CHANGES),
        *(Topic.TRAFFIC_COUNTS, Topic.TRAFFIC_STATE, Topic.ROLLOUT_STATE),
    ):
        assert by_name[name].partitions == MODEL_PARTITIONS


def test_what_is_a_table_is_compacted_and_the_rest_expires() -> None:
    for spec in TOPICS:
        compacted = spec.name in {
            Topic.REGION_HEARTBEATS,
            Topic.VERSION_STATE,
            Topic.PROBE_STATE,
            Topic.TRAFFIC_STATE,
            Topic.ROLLOUT_STATE,
        }
        assert spec.config["cleanup.policy"] == ("compact" if compacted else "delete")
        assert ("retention.ms" in spec.config) != compacted
        assert spec.config["message.timestamp.type"] == "LogAppendTime"


def test_a_dead_letter_fits_into_a_record_with_room_for_its_words() -> None:
    assert DEAD_LETTER_KEPT_MAX <= RECORD_SIZE_MAX // 2
