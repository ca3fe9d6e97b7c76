"""The headers of acknowledgements say what their records do, or nothing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelcast.schemas.ack_headers import AckHeaders

NUMBERS = st.integers(0, 2**63 - 1)
HEADERS = st.builds(AckHeaders, st.text(), st.text(), st.text(), NUMBERS, NUMBERS, NUMBERS, NUMBERS, NUMBERS)


@given(HEADERS)
def test_what_is_written_is_read(headers: AckHeaders) -> None:
    try:
        written = headers.written()
    except UnicodeEncodeError:
        return  # no name of ours
    assert AckHeaders.read(written) == headers
    assert AckHeaders.read(tuple(written.items())) == headers


@pytest.mark.parametrize("name", AckHeaders("r", "m", "eu", 1, 2, 0, 1, 3).written())
def test_a_missing_header_leaves_nothing_to_rely_on(name: str) -> None:
    written = AckHeaders("r", "m", "eu", 1, 2, 0, 1, 3).written()
    del written[name]
    assert AckHeaders.read(written) is None


@given(st.none() | st.dictionaries(st.text(), st.binary()))
def test_no_headers_make_it_stumble(headers: dict[str, bytes] | None) -> None:
    assert AckHeaders.read(headers) is None


@pytest.mark.parametrize("value", [b"", b"-1", b"x", b"1" * 40, "²".encode()])
def test_a_number_that_is_none_leaves_nothing_to_rely_on(value: bytes) -> None:
    written = AckHeaders("r", "m", "eu", 1, 2, 0, 1, 3).written() | {"modelcast-sequence": value}
    assert AckHeaders.read(written) is None
