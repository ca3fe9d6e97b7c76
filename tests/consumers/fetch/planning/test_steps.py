"""How a file comes by the road alone, and what people read of it."""

from hashlib import sha256

import pytest

from modelcast.consumers.fetch import Step, Way, in_words, origin_bytes_of
from modelcast.consumers.fetch.planning.steps import Label, main_kind, reusable, without_detour
from modelcast.schemas.manifest import BLOCK_SIZE_BYTES, FileEntry

MIB = BLOCK_SIZE_BYTES
BLANK = sha256(bytes(MIB)).hexdigest()
FILE = FileEntry("w", 4 * MIB, "digest", ("aa", "bb", "cc", BLANK))


@pytest.mark.parametrize(
    ("missing", "held", "way", "origin_blocks"),
    [
        ({0, 1, 2, 3}, "", Way.WHOLE, 4),
        ({0, 1, 2}, "", Way.WHOLE, 3),  # room was taken: the block of zeros is there, and nobody brought it
        ({1, 2, 3}, "", Way.RESUMED, 3),
        ({0, 1, 2, 3}, "bb", Way.BLOCKS, 3),
        ({1, 2, 3}, "bb", Way.BLOCKS, 2),
        ({1, 2, 3}, "aa", Way.BLOCKS, 3),  # an earlier attempt copied it
    ],
)
def test_blocks_of_other_files_are_told_from_those_that_an_earlier_attempt_brought(
    missing: set[int], held: str, way: Way, origin_blocks: int
) -> None:
    step = without_detour(Step(FILE, Way.WHOLE), missing, {held: ("old", 7)})
    assert (step.way, step.origin_bytes) == (way, origin_blocks * MIB)


def test_blocks_are_found_at_whatever_offset() -> None:
    held = {"bb": ("old", 7), "cc": ("old", 0), "zz": ("old", 1)}
    assert reusable(FILE, held, {0, 1, 2}) == {1: ("old", 7), 2: ("old", 0)}
    assert reusable(FILE, held, {0, 1}) == {1: ("old", 7)}


def step(way: Way, origin_bytes: int = 1, own_label: Label | None = None) -> Step:
    return Step(FILE, way, origin_bytes=origin_bytes, own_label=own_label)


@pytest.mark.parametrize(
    ("steps", "words"),
    [
        ([], "nothing to move"),
        ([step(Way.WHOLE)], "whole"),
        ([step(Way.WHOLE), step(Way.BLOCKS)], "1 in changed blocks, 1 whole"),
        ([step(Way.RESUMED)], "resumed whole"),
        ([step(Way.RESUMED)] * 2 + [step(Way.WHOLE)], "2 resumed wholes, 1 whole"),
        ([step(Way.RESUMED, 0)] * 2 + [step(Way.RESUMED)], "2 brought before, 1 resumed whole"),
        ([step(Way.CACHE)] * 3 + [step(Way.REGION)], "3 unchanged, 1 from the region"),
        ([step(Way.ACCELERATED, own_label=Label("leap", "leaps", "leap"))] * 2 + [step(Way.WHOLE)], "2 leaps, 1 whole"),
    ],
)
def test_ways_are_said_in_few_words(steps: list[Step], words: str) -> None:
    assert in_words(steps) == words


def test_the_main_kind_is_the_one_that_brings_most() -> None:
    leap = step(Way.ACCELERATED, 9, own_label=Label("leap from 3", "leaps from 3", "leap"))
    assert main_kind([step(Way.WHOLE, 5), leap]) == "leap"
    assert main_kind([step(Way.WHOLE, 5), step(Way.ACCELERATED, 9)]) == Way.ACCELERATED
    assert main_kind([step(Way.CACHE, 0), step(Way.REGION, 0)]) == Way.REGION
    assert main_kind([]) == Way.CACHE
    assert origin_bytes_of([step(Way.WHOLE, 5), leap]) == 14
