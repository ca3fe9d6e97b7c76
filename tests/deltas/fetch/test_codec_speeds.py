"""Rebuilds are measured, beside what is known of the links."""

import pytest

from modelcast.consumers.fetch import LinkSpeeds
from modelcast.deltas.fetch.codec_speeds import CodecSpeeds
from modelcast.deltas.fetch.planning.costs import Speeds

MIB = 1024 * 1024


def test_what_was_not_measured_is_guessed() -> None:
    assert CodecSpeeds().beside(LinkSpeeds()) == Speeds()


def test_rebuilds_are_measured_and_small_ones_say_nothing() -> None:
    codec = CodecSpeeds()
    codec.rebuilt(100 * MIB, 2.0, has_base=True)
    codec.rebuilt(100 * MIB, 1.0, has_base=False)
    codec.rebuilt(1, 10.0, has_base=True)
    speeds = codec.beside(LinkSpeeds(origin_bytes_per_second=5.0, measured=True))
    assert speeds.decode_bytes_per_second == pytest.approx(50 * MIB)
    assert speeds.unpack_bytes_per_second == pytest.approx(100 * MIB)
    assert (speeds.origin_bytes_per_second, speeds.measured) == (5.0, True)
