"""What is skipped over must at least be a record."""

from hypothesis import given
from hypothesis import strategies as st

from modelcast.schemas.avro.well_framed import ack_is_well_framed
from modelcast.schemas.codec import HEADER_SIZE_BYTES, decode, encode
from modelcast.schemas.errors import DecodeError
from modelcast.schemas.records import ModelAck, PodReport, StageSpan
from modelcast.schemas.states import PodState, State

DIGEST = "sha256:" + "ab" * 32


def ack(pods: int) -> bytes:
    reports = tuple(PodReport(f"pod-{n}", PodState.SERVING, 1, DIGEST, 1, "i", 1) for n in range(pods))
    return encode(
        ModelAck(
            registry_id="r", model="fraud", region="eu", worker="w", epoch=1, sequence=1, page=0, pages=1, generation=1,
            version=1, manifest_digest=DIGEST, state=State.SERVING, reported_at_us=1, pods=reports, pods_expected=pods,
            spans=(StageSpan("origin", 0, 500, 500),), error="none",
        )
    )  # fmt: skip


def test_records_are_well_framed_and_parts_of_them_or_more_than_them_are_not() -> None:
    for pods in (0, 1, 3):
        raw = ack(pods)
        assert ack_is_well_framed(raw)
        assert not any(ack_is_well_framed(raw[:kept]) for kept in range(HEADER_SIZE_BYTES, len(raw)))
        assert not ack_is_well_framed(raw + b"\0")


@given(st.binary(max_size=400))
def test_no_bytes_make_it_raise_or_take_what_decoding_finds_malformed(tail: bytes) -> None:
    raw = ack(1)[:HEADER_SIZE_BYTES] + tail
    if ack_is_well_framed(raw):
        try:
            decode(raw)
        except DecodeError as error:
            assert error.reason in {"bad-value", "malformed"}


@given(st.integers(HEADER_SIZE_BYTES, 500), st.integers(0, 255))
def test_every_record_that_decodes_is_well_framed(at: int, value: int) -> None:
    raw = bytearray(ack(2))
    raw[at % (len(raw) - HEADER_SIZE_BYTES) + HEADER_SIZE_BYTES] = value
    try:
        decode(bytes(raw))
    except DecodeError:
        return
    assert ack_is_well_framed(bytes(raw))
