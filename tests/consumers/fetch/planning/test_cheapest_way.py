"""The plan: every file once, the cheapest way."""

import itertools
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from modelcast.consumers.fetch.planning.parts import PART_BLOCKS_MAX, PART_BLOCKS_MIN, part_blocks, parts_of, runs
from modelcast.consumers.fetch.planning.steps import Step, Way, steps_of
from modelcast.schemas.manifest import BLOCK_SIZE_BYTES
from tests.consumers.fetch.publishing import entry, manifest_of

BODIES = [bytes([i]) * i for i in range(6)]
NAMES = st.dictionaries(st.sampled_from([f"p{i}" for i in range(8)]), st.sampled_from(BODIES), min_size=1)
DIGESTS = st.sets(st.sampled_from([entry("", body).digest for body in BODIES]))


@given(NAMES, DIGESTS, DIGESTS)
def test_every_path_is_brought_once_by_the_cheapest_way(
    files: dict[str, bytes], cached: set[str], regional: set[str]
) -> None:
    manifest = manifest_of(files)
    steps = steps_of(manifest, cached=cached, regional=regional)
    paths = [path for step in steps for path in (step.file.path, *step.also_at)]
    assert sorted(paths) == sorted(files)
    assert len({step.file.digest for step in steps}) == len(steps)
    for step in steps:
        assert {entry("", files[path]).digest for path in step.also_at} <= {step.file.digest}
        if step.file.digest in cached:
            assert step.way is Way.CACHE
        else:
            assert step.way is (Way.REGION if step.file.digest in regional else Way.WHOLE)


@given(st.integers(1, 40 * BLOCK_SIZE_BYTES), st.data())
def test_parts_cover_the_missing_blocks_and_no_others(size_bytes: int, data: st.DataObject) -> None:
    blocks = -(-size_bytes // BLOCK_SIZE_BYTES)
    file = entry("w", b"")
    file = type(file)("w", size_bytes, file.digest, ("",) * blocks)
    missing = data.draw(st.sets(st.integers(0, blocks - 1)))
    parts = parts_of([Step(file, Way.WHOLE)], {file.digest: missing})
    covered = [b for part in parts for b in range(part.first_block, part.first_block + part.block_count)]
    assert covered == sorted(missing)
    assert all(1 <= part.block_count <= PART_BLOCKS_MAX for part in parts)
    for part in parts:
        end = min(size_bytes, (part.first_block + part.block_count) * BLOCK_SIZE_BYTES)
        assert (part.start, part.start + part.size_bytes) == (part.first_block * BLOCK_SIZE_BYTES, end)
    for one, other in itertools.pairwise(parts):
        full = one.block_count >= PART_BLOCKS_MIN
        assert full or other.first_block > one.first_block + one.block_count


def test_parts_are_long_at_first_and_short_at_the_end() -> None:
    counts = [count for _, count in runs(set(range(129)), before=4)]
    assert counts[0] == PART_BLOCKS_MAX
    assert counts[-4:-1] == [PART_BLOCKS_MIN] * 3
    assert counts == sorted(counts, reverse=True)


def test_those_that_are_read_first_do_not_end_together() -> None:
    assert [count for _, count in runs(set(range(129)))][:5] == [4, 8, 12, 16, 16]
    files = [replace(entry(name, name.encode()), size_bytes=64 * BLOCK_SIZE_BYTES, blocks=("",) * 64) for name in "ab"]
    parts = parts_of(
        [Step(file, Way.WHOLE) for file in files], {file.digest: set(range(64)) for file in files}, far_most=8
    )
    assert [part.block_count for part in parts][:5] == [2, 4, 6, 8, 8]
    assert [part.block_count for part in parts if part.step.file.path == "b"][:5] == [8] * 5


def test_no_part_is_longer_than_is_asked_for() -> None:
    assert [count for _, count in runs(set(range(40)), most=3)][:5] == [1, 2, 3, 3, 3]
    file = replace(entry("w", b""), size_bytes=40 * BLOCK_SIZE_BYTES, blocks=("",) * 40)
    for way, longest in ((Way.WHOLE, 3), (Way.REGION, 8)):
        parts = parts_of([Step(file, way)], {file.digest: set(range(40))}, far_most=3)
        assert max(part.block_count for part in parts) == longest


def test_parts_are_as_long_as_it_takes_to_keep_the_link_busy() -> None:
    assert part_blocks(1e6, 0.08, 4) == PART_BLOCKS_MIN
    assert part_blocks(12.5e6, 0.08, 4) == 3
    assert part_blocks(20e6, 0.2, 4) == 8
    assert part_blocks(20e6, 0.2, 8) == 4
    assert part_blocks(1e9, 0.001, 4) == PART_BLOCKS_MAX


def test_the_end_is_that_of_the_last_file() -> None:
    assert {count for _, count in runs(set(range(64)), after=128, before=4)} == {PART_BLOCKS_MAX}


def test_a_block_that_has_begun_is_the_first_of_a_part() -> None:
    file = entry("w", bytes(40 * BLOCK_SIZE_BYTES))
    step, missing = Step(file, Way.WHOLE), {file.digest: set(range(3, 40))}
    parts = parts_of([step], missing, {file.digest: {3: 17, 6: 4096}})
    assert [(part.first_block, part.written_bytes) for part in parts if part.written_bytes] == [(3, 17), (6, 4096)]
    assert parts[0].block_count == 3
    assert [b for p in parts for b in range(p.first_block, p.first_block + p.block_count)] == list(range(3, 40))
