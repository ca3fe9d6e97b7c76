"""The bad store itself: a cut connection ends as it says."""

import http.client
from urllib.parse import urlsplit

import pytest

from tests.faults.shaky_store import ShakyStore

BODY = bytes(300_000)
CUT_AT = 123_456


@pytest.mark.parametrize("resets", [False, True])
def test_all_bytes_before_a_cut_arrive_then_the_connection_ends_in_order_or_is_reset(resets: bool) -> None:
    with ShakyStore({"key": BODY}) as shaky:
        shaky.cut_after, shaky.resets = (lambda: CUT_AT), resets
        parts = urlsplit(shaky.endpoint_url)
        link = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)
        link.request("GET", "/bucket/key")
        answer = link.getresponse()
        arrived = 0
        while arrived < CUT_AT:
            chunk = answer.read1()
            assert chunk
            arrived += len(chunk)
        assert arrived == CUT_AT
        if resets:
            with pytest.raises(ConnectionResetError):
                answer.fp.read1()
        else:
            assert answer.fp.read1() == b""
        link.close()
        assert shaky.sent_bytes == CUT_AT
