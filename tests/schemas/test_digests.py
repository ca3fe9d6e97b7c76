"""Digests as text."""

import hashlib
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelcast.schemas.digests import DIGEST_PATTERN, PIECE_BYTES, hex_of, sha256_of, sha256_of_stream, short
from modelcast.schemas.errors import ContentError


@given(st.binary())
def test_a_digest_is_sha256_of_the_bytes_whatever_holds_them(data: bytes) -> None:
    digest = sha256_of(data)
    assert DIGEST_PATTERN.fullmatch(digest)
    assert hex_of(digest) == hashlib.sha256(data).hexdigest()
    assert sha256_of(bytearray(data)) == sha256_of(memoryview(data)) == digest
    assert hex_of(digest).startswith(short(digest))
    assert len(short(digest)) == 12


@pytest.mark.parametrize(
    "text",
    [
        "",
        "sha256:",
        "a" * 64,
        "sha256:" + "a" * 63,
        "sha256:" + "a" * 65,
        "sha256:" + "A" * 64,
        "sha1:" + "a" * 64,
        "sha256:" + "a" * 64 + "\n",
        "sha256:../" + "a" * 61,
    ],
)
def test_what_is_no_digest_never_becomes_part_of_a_key(text: str) -> None:
    with pytest.raises(ContentError):
        hex_of(text)


@pytest.mark.parametrize("size", [0, 1, PIECE_BYTES, 2 * PIECE_BYTES + 3])
def test_a_streams_digest_is_that_of_just_so_many_bytes(size: int) -> None:
    data, taken = bytes(i % 251 for i in range(size)), bytearray()
    stream = io.BytesIO(data + b"more")
    assert sha256_of_stream(stream, size, taken.extend) == sha256_of(data)
    assert (bytes(taken), stream.read()) == (data, b"more")


def test_a_stream_that_ends_too_soon_has_no_digest() -> None:
    assert sha256_of_stream(io.BytesIO(b"short"), 6) is None
