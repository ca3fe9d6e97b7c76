"""The bytes of a registry's id."""

import pytest

from modelcast.schemas.errors import Refused
from modelcast.schemas.log.registry_id import decode_registry_id, encode_registry_id


def test_an_id_is_read_as_it_was_written() -> None:
    assert decode_registry_id(encode_registry_id("abc"), subject="s", hint="h") == "abc"


@pytest.mark.parametrize(
    "body", [b"", b"rubbish", b"[]", b"{}", b'{"registry_id": 7}', b'{"registry_id": ""}', b"\xff", b"[" * 4000]
)
def test_anything_else_is_refused_by_name(body: bytes) -> None:
    with pytest.raises(Refused) as caught:
        decode_registry_id(body, subject="bucket/registry/id.json", hint="remove it")
    assert (caught.value.subject, caught.value.hint) == ("bucket/registry/id.json", "remove it")


def test_no_flipped_bit_makes_another_id() -> None:
    body = encode_registry_id("0a1b2c3d")
    for at in range(len(body) * 8):
        flipped = bytearray(body)
        flipped[at // 8] ^= 1 << at % 8
        with pytest.raises(Refused):
            decode_registry_id(bytes(flipped), subject="s", hint="h")
