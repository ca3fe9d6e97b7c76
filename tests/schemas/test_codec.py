"""Encoding and decoding: every record goes round, and whatever is not one is refused with its reason."""

import io
import json
import tracemalloc
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import fastavro
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelcast.schemas import records as r
from modelcast.schemas.avro.any_record import Record
from modelcast.schemas.avro.schema_book import RECORD_CLASSES
from modelcast.schemas.avro.schema_nodes import fingerprint
from modelcast.schemas.avro.value_checks import LONG_MAX, TIME_US_MAX
from modelcast.schemas.codec import (
    HEADER_SIZE_BYTES,
    MARKER,
    WRITER_SCHEMAS,
    decode,
    decode_as,
    encode,
    fingerprint_of,
    writer_schema,
)
from modelcast.schemas.errors import ContentError, DecodeError, UnknownSchema
from modelcast.schemas.states import PodState, State
from modelcast.schemas.topics import DEAD_LETTER_KEPT_MAX, RECORD_SIZE_MAX
from tests.support.lanes import often
from tests.support.records import example_records
from tests.support.records.record_strategies import records

DIGEST = "sha256:" + "0" * 64
ARTIFACT = r.ArtifactRef("origin", "manifests/sha256/x", DIGEST, 10, 1, "onnx")
UPDATE = r.ModelUpdate("registry", "event", "fraud", 7, 9, ARTIFACT, 5)
COMMAND = r.ModelCommand(
    "registry", "event", "fraud", 9, r.CommandKind.PIN, (r.CommandTarget("eu", 5),), 5, "ana", "why"
)
POD = r.PodReport("pod", PodState.SERVING)
ACK = r.ModelAck("registry", "fraud", "eu", "w", 1, 1, 0, 1, 9, 7, DIGEST, State.SERVING, 5, pods=(POD,))
HEARTBEAT = r.RegionHeartbeat("registry", "eu", "w", 1, 1, 1)
REGION = r.RegionState("eu", None, None, 0, "", None, 0, None, 0, 0, 0, 0.0, False)
STATE = r.VersionState("registry", "fraud", 9, 7, 7, 1, 6, 0.5, 1, 0, 5, (REGION,))
LETTER = r.DeadLetter("model-updates", 1, 2, "malformed", "why", b"raw", 3, DIGEST, b"key", "w", 5)


def _written_anyway(record: Record) -> bytes:
    """A record's bytes without the checks of ``encode``: what a careless or hostile writer sends."""
    from modelcast.schemas.avro.record_shapes import to_plain

    fingerprint_hex, text = writer_schema(type(record))
    out = io.BytesIO()
    fastavro.schemaless_writer(out, json.loads(text), to_plain(record))
    return MARKER + bytes.fromhex(fingerprint_hex) + out.getvalue()


def _reason(data: bytes | None) -> str:
    with pytest.raises(DecodeError) as refused:
        decode(data)
    return refused.value.reason


@given(records)
@settings(max_examples=often(400, 120), deadline=None)
def test_a_record_comes_back_as_it_was(record: Record) -> None:
    again = decode(encode(record))
    assert again == record
    assert hash(type(again)) == hash(type(record))
    assert encode(again) == encode(record)


@given(records)
@settings(max_examples=often(100, 40), deadline=None)
def test_another_implementation_reads_what_is_written(record: Record) -> None:
    data = encode(record)
    text = WRITER_SCHEMAS[data[2:10].hex()]
    stream = io.BytesIO(data[HEADER_SIZE_BYTES:])
    plain = fastavro.schemaless_reader(stream, json.loads(text), None)
    assert isinstance(plain, dict)
    assert plain[next(name for name in ("registry_id", "source_topic", "said_digest", "id") if name in plain)]
    assert not stream.read()


def test_the_first_ten_bytes_are_those_of_the_specification() -> None:
    data = encode(UPDATE)
    _, text = writer_schema(r.ModelUpdate)
    assert data[:2] == b"\xc3\x01"
    assert data[2:10] == fingerprint(text)
    assert fingerprint_of(data) == fingerprint(text).hex()


def test_the_fingerprint_is_avros() -> None:
    # From the specification's own test data (share/test/data/schema-tests.txt).
    assert int.from_bytes(fingerprint('"null"'), "little") == 7195948357588979594
    assert int.from_bytes(fingerprint('"int"'), "little") == 8247732601305521295


def test_the_writers_schemas_are_offered_for_the_registry() -> None:
    assert len(WRITER_SCHEMAS) == len(RECORD_CLASSES)
    for cls in RECORD_CLASSES.values():
        fingerprint_hex, text = writer_schema(cls)
        assert WRITER_SCHEMAS[fingerprint_hex] == text
        assert fingerprint(text).hex() == fingerprint_hex


def test_what_is_read_is_of_the_classes_own_types() -> None:
    ack = decode_as(r.ModelAck, encode(ACK))
    assert isinstance(ack.pods, tuple)
    assert ack.pods[0].state is PodState.SERVING
    assert ack.state is State.SERVING
    assert isinstance(ack.spans, tuple)
    rows = (replace(REGION, state=State.FAILED), REGION)
    state = decode_as(r.VersionState, encode(replace(STATE, regions=rows)))
    assert state.regions[0].state is State.FAILED
    assert state.regions[1].state is None
    command = decode_as(r.ModelCommand, encode(COMMAND))
    assert command.kind is r.CommandKind.PIN
    assert isinstance(command.targets[0], r.CommandTarget)
    update = decode_as(r.ModelUpdate, encode(UPDATE))
    assert update.activation is r.Activation.IMMEDIATE
    assert isinstance(update.artifact, r.ArtifactRef)


def test_a_mapping_of_any_class_is_written() -> None:
    labels = MappingProxyType({"git": "4f2c9d1"})
    assert decode_as(r.ModelUpdate, encode(replace(UPDATE, labels=labels))).labels == {"git": "4f2c9d1"}


def test_defaults_are_not_shared_between_records() -> None:
    one, other = decode_as(r.ModelUpdate, encode(UPDATE)), decode_as(r.ModelUpdate, encode(UPDATE))
    assert one.labels is not other.labels


def test_another_kind_of_record_is_refused_where_one_is_expected() -> None:
    with pytest.raises(DecodeError) as refused:
        decode_as(r.ModelUpdate, encode(HEARTBEAT))
    assert refused.value.reason == "bad-value"
    assert "RegionHeartbeat" in str(refused.value)


def test_size_is_checked_before_anything_else() -> None:
    assert _reason(b"\0" * (RECORD_SIZE_MAX + 1)) == "oversize"


def test_a_record_of_the_largest_size_goes_round_and_one_byte_more_does_not() -> None:
    record = replace(UPDATE, publisher="x" * 200_000)
    room = RECORD_SIZE_MAX - len(encode(record))
    largest = replace(UPDATE, publisher="x" * (200_000 + room))
    data = encode(largest)
    assert len(data) == RECORD_SIZE_MAX
    assert decode(data) == largest
    with pytest.raises(ContentError, match="at most 262144 bytes"):
        encode(replace(UPDATE, publisher="x" * (200_001 + room)))


@pytest.mark.parametrize(
    "data", [b"", b"\xc3", b"\xc3\x01", b"\xc3\x01\0\0\0\0\0\0\0", b"{}", b"\0\0\0\0\1" + b"x" * 20]
)
def test_bytes_without_the_framing_are_refused(data: bytes | None) -> None:
    assert _reason(data) == "framing"


def test_an_unknown_schema_is_named_so_that_it_can_be_fetched() -> None:
    with pytest.raises(UnknownSchema) as refused:
        decode(MARKER + bytes(range(8)) + b"anything")
    assert refused.value.reason == "unknown-schema"
    assert refused.value.subject == "0001020304050607"


@pytest.mark.parametrize("path", example_records.json_files(), ids=lambda p: p.stem)
def test_a_record_that_is_cut_short_or_too_long_is_malformed(path: Path) -> None:
    data = example_records.golden_of(path)
    for end in range(HEADER_SIZE_BYTES, len(data)):
        assert _reason(data[:end]) == "malformed", end
    assert _reason(data + b"\0") == "malformed"


@pytest.mark.parametrize(
    "bomb",
    [
        b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",  # -2^63
        b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01",  # 2^63 - 1
        b"\xff" * 400,  # a number without an end
        b"\x01\x02",  # a negative length, a negative count
        b"\xfe\xff\xff\xff\x0f",
    ],
)
@pytest.mark.parametrize("record", [UPDATE, COMMAND, ACK, HEARTBEAT, STATE, LETTER], ids=lambda x: type(x).__name__)
def test_a_length_or_count_that_lies_is_refused_wherever_it_stands(record: Record, bomb: bytes) -> None:
    data = encode(record)
    for at in range(HEADER_SIZE_BYTES, len(data)):
        try:
            decode(data[:at] + bomb + data[at + 1 :])
        except DecodeError as refused:
            assert refused.reason in {"malformed", "bad-value"}


@pytest.mark.parametrize(
    ("record", "field_count_bytes"),
    [(COMMAND, b"\x02\x04eu\x02\x0a\x00"), (ACK, b"\x02\x06pod")],
)
def test_a_flood_of_least_items_takes_bounded_memory(record: Record, field_count_bytes: bytes) -> None:
    data = encode(record)
    at = data.index(field_count_bytes)
    least = b"\x00\x00" if record is COMMAND else b"\x00" * 8
    count = (RECORD_SIZE_MAX - at - 10) // len(least)
    zigzag, number = bytearray(), count * 2
    while number > 0x7F:
        zigzag.append(number & 0x7F | 0x80)
        number >>= 7
    zigzag.append(number)
    flood = data[:at] + bytes(zigzag) + least * count + b"\x00"
    assert len(flood) <= RECORD_SIZE_MAX
    tracemalloc.start()
    try:
        _reason(flood)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 100 * RECORD_SIZE_MAX


BAD = [
    replace(UPDATE, published_at_us=TIME_US_MAX),
    replace(UPDATE, registry_id="r" * 257),
    replace(UPDATE, artifact=replace(ARTIFACT, manifest_key="k" * 1025)),
    replace(ACK, pods=(replace(POD, read_at_us=TIME_US_MAX),)),
    replace(ACK, pods=(replace(POD, manifest_digest=DIGEST), replace(POD, manifest_digest="x"))),
    replace(UPDATE, model="Fraud"),
    replace(UPDATE, model=""),
    replace(UPDATE, model="fraud\n"),
    replace(UPDATE, model="x" * 64),
    replace(UPDATE, version=0),
    replace(UPDATE, version=2**31),
    replace(UPDATE, generation=0),
    replace(UPDATE, registry_id=""),
    replace(UPDATE, event_id="a\nb"),
    replace(UPDATE, published_at_us=-1),
    replace(UPDATE, published_at_us=2**62),
    replace(UPDATE, placement=("eu", "")),
    replace(UPDATE, metrics={"auc": float("nan")}),
    replace(UPDATE, metrics={"auc": float("inf")}),
    replace(UPDATE, delta_hints=(r.DeltaHint(-1, 1),)),
    replace(UPDATE, delta_hints=(r.DeltaHint(1, -1),)),
    replace(UPDATE, artifact=replace(ARTIFACT, manifest_digest="sha256:" + "0" * 63)),
    replace(UPDATE, artifact=replace(ARTIFACT, manifest_digest="")),
    replace(UPDATE, artifact=replace(ARTIFACT, size_bytes=-1)),
    replace(UPDATE, artifact=replace(ARTIFACT, file_count=0)),
    replace(UPDATE, artifact=replace(ARTIFACT, file_count=100_001)),
    replace(UPDATE, artifact=replace(ARTIFACT, store="")),
    replace(UPDATE, artifact=replace(ARTIFACT, manifest_key="")),
    replace(COMMAND, targets=()),
    replace(COMMAND, targets=(r.CommandTarget("EU", 5),)),
    replace(COMMAND, targets=(r.CommandTarget("eu"),)),
    replace(COMMAND, targets=(r.CommandTarget("eu", 0),)),
    replace(COMMAND, kind=r.CommandKind.PAUSE),
    replace(COMMAND, kind=r.CommandKind.QUARANTINE, targets=(r.CommandTarget(""),)),
    replace(COMMAND, kind=r.CommandKind.ALIAS, targets=(r.CommandTarget("", 5),)),
    replace(COMMAND, alias="champion"),
    replace(COMMAND, requested_at_us=-1),
    replace(COMMAND, generation=0),
    replace(ACK, page=1),
    replace(ACK, page=-1),
    replace(ACK, pages=0),
    replace(ACK, pages=101),
    replace(ACK, epoch=-1),
    replace(ACK, sequence=-1),
    replace(ACK, generation=-1),
    replace(ACK, version=0),
    replace(ACK, staged_version=-3),
    replace(ACK, manifest_digest="md5:0"),
    replace(ACK, region="../eu"),
    replace(ACK, worker=""),
    replace(ACK, bytes_moved=-1),
    replace(ACK, reported_at_us=-1),
    replace(ACK, spans=(r.StageSpan("fetch", 10**15),)),
    replace(ACK, pods=(POD,) * 1001),
    replace(ACK, pods=(replace(POD, pod=""),)),
    replace(ACK, pods=(replace(POD, pod="p" * 257),)),
    replace(ACK, pods=(replace(POD, version=0),)),
    replace(ACK, pods=(replace(POD, manifest_digest="x"),)),
    replace(ACK, pods=(replace(POD, generation=-1),)),
    replace(ACK, pods=(replace(POD, read_at_us=-1),)),
    replace(HEARTBEAT, region=""),
    replace(HEARTBEAT, disk_free_bytes=-1),
    replace(HEARTBEAT, sent_at_us=-1),
    replace(HEARTBEAT, started_at_us=2**62),
    replace(STATE, model="_"),
    replace(STATE, consistent_version=0),
    replace(STATE, as_of_us=-1),
    replace(STATE, behind_since_us=-1),
    replace(STATE, skew=-1),
    replace(STATE, head_generation=-1),
    replace(STATE, skew_since_us=-1),
    replace(STATE, regions=(replace(REGION, region="a b"),)),
    replace(STATE, regions=(replace(REGION, served_version=0),)),
    replace(STATE, regions=(replace(REGION, pods_expected=-1),)),
    replace(STATE, regions=(replace(REGION, pods_omitted=-1),)),
    replace(STATE, regions=(replace(REGION, aspired_digest="x"),)),
    replace(STATE, regions=(replace(REGION, behind_since_us=-1),)),
    replace(STATE, regions=(replace(REGION, heard_at_us=-1),)),
    replace(STATE, regions=(replace(REGION, spans=(r.StageSpan("", 0),)),)),
    replace(STATE, regions=(replace(REGION, pods=(replace(POD, version=0),)),)),
    replace(LETTER, raw=b"x" * (DEAD_LETTER_KEPT_MAX + 1), raw_size_bytes=2**20),
    replace(LETTER, raw_size_bytes=2),
    replace(LETTER, raw_digest=""),
    replace(LETTER, source_offset=-2),
    replace(LETTER, source_topic=""),
    replace(LETTER, reason=""),
    replace(LETTER, reported_at_us=-1),
]


GOOD = [
    replace(UPDATE, published_at_us=TIME_US_MAX - 1),
    replace(UPDATE, version=2**31 - 1, generation=LONG_MAX),
    replace(UPDATE, artifact=replace(ARTIFACT, size_bytes=0, file_count=100_000, manifest_key="k" * 1024)),
    replace(UPDATE, registry_id="r" * 256),
    replace(ACK, pods=(POD,) * 1000),
    replace(ACK, page=99, pages=100),
    replace(ACK, generation=0, version=None, manifest_digest=""),
    replace(ACK, pods=(replace(POD, pod="p" * 256, read_at_us=TIME_US_MAX - 1),)),
    replace(LETTER, source_partition=-1, source_offset=-1, raw=b"", raw_size_bytes=0),
    replace(LETTER, raw=b"x" * DEAD_LETTER_KEPT_MAX, raw_size_bytes=DEAD_LETTER_KEPT_MAX),
]


@pytest.mark.parametrize("record", GOOD, ids=range(len(GOOD)))
def test_a_value_at_the_end_of_its_range_goes_round(record: Record) -> None:
    assert decode(encode(record)) == record


@pytest.mark.parametrize("record", BAD, ids=range(len(BAD)))
def test_a_value_that_makes_no_sense_is_neither_read_nor_written(record: Record) -> None:
    assert _reason(_written_anyway(record)) == "bad-value"
    with pytest.raises(ContentError):
        encode(record)


def test_an_unknown_kind_of_command_is_refused_and_never_taken_for_another() -> None:
    data = encode(COMMAND)
    assert _reason(data.replace(b"\x06PIN", b"\x06PUN")) == "bad-value"


def test_text_that_is_not_utf8_is_refused_both_ways() -> None:
    data = encode(replace(UPDATE, publisher="abc"))
    assert _reason(data.replace(b"\x06abc", b"\x06a\xffc")) == "malformed"
    with pytest.raises(ContentError):
        encode(replace(UPDATE, publisher="\ud800"))


@pytest.mark.parametrize(
    ("record", "name", "value"),
    [
        (UPDATE, "model", None),
        (UPDATE, "version", "7"),
        (UPDATE, "labels", {"a": 1}),
        (UPDATE, "labels", None),
        (UPDATE, "artifact", None),
        (ACK, "pods_expected", 2**63),
        (ACK, "pods", None),
        (LETTER, "key", None),
    ],
    ids=range(8),
)
def test_a_value_of_the_wrong_type_is_an_error_with_a_name(record: Any, name: str, value: Any) -> None:
    with pytest.raises(ContentError, match=type(record).__name__):
        encode(replace(record, **{name: value}))


@given(st.binary(max_size=300))
@settings(max_examples=often(300, 100), deadline=None)
def test_any_bytes_after_a_true_header_give_a_record_or_a_decode_error(body: bytes) -> None:
    for fingerprint_hex in WRITER_SCHEMAS:
        try:
            record = decode(MARKER + bytes.fromhex(fingerprint_hex) + body)
        except DecodeError:
            continue
        assert decode(encode(record)) == record
