"""How large a delta will be, from samples."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from modelcast.deltas import codec as delta
from modelcast.deltas.codec import sampling
from modelcast.deltas.codec.frames import STRONG_BELOW_BYTES
from modelcast.deltas.codec.sampling import sampled_ratio

LARGE = STRONG_BELOW_BYTES + (1 << 20)
WORDS = np.frombuffer(b"the quick brown fox jumps over a lazy dog ", np.uint8)


def text(size: int) -> bytes:
    return np.random.default_rng(3).choice(WORDS, size).tobytes()


def noise(size: int) -> bytes:
    return np.random.default_rng(1).bytes(size)


@pytest.mark.parametrize(
    ("made", "size", "tries"),
    [
        (noise, LARGE, [False]),
        (noise, 1 << 20, [False]),
        (text, LARGE, [False]),
        (text, 1 << 20, [False, True]),
    ],
    ids=["large noise", "small noise", "large text", "small text"],
)
def test_slow_levels_are_tried_on_samples_only_where_the_file_gets_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, made: Callable[[int], bytes], size: int, tries: list[bool]
) -> None:
    body, found = made(size), list[bool]()
    make = delta.make

    def noted(*args: Any, thorough: bool, **more: Any) -> Any:
        found.append(thorough)
        return make(*args, thorough=thorough, **more)

    monkeypatch.setattr(sampling, "make", noted)
    new = tmp_path / "new"
    new.write_bytes(body)
    ratio = sampled_ratio(None, new, (None, None), tmp_path)
    assert found == tries
    really = make(None, new, tmp_path / "out").delta_size_bytes / len(body)
    assert ratio == pytest.approx(really, rel=0.05)
