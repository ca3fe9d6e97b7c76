"""The plan: every file once, the cheapest way."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from modelcast.consumers.fetch.plan import PART_BLOCKS, PART_BLOCKS_MAX, Step, Way, part_blocks, parts_of, plan
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
    steps = plan(manifest, cached=cached, regional=regional)
    paths = [path for step in steps for path in (step.file.path, *step.also_at)]
    assert sorted(paths) == sorted(files)
    assert len({step.file.digest for step in steps}) == len(steps)
    for step in steps:
        assert {entry("", files[path]).digest for path in step.also_at} <= {step.file.digest}
        if step.file.digest in cached:
            assert step.way is Way.CACHE
        else:
            assert step.way is (Way.REGION if step.file.digest in regional else Way.ORIGIN)


@given(st.integers(1, 400 * BLOCK_SIZE_BYTES), st.data())
def test_parts_cover_the_missing_blocks_and_no_others(size_bytes: int, data: st.DataObject) -> None:
    blocks = -(-size_bytes // BLOCK_SIZE_BYTES)
    file = entry("w", b"")
    file = type(file)("w", size_bytes, file.digest, ("",) * blocks)
    gaps = data.draw(st.sets(st.integers(0, blocks - 1), max_size=20))
    missing = data.draw(st.sets(st.integers(0, blocks - 1))) if data.draw(st.booleans()) else {*range(blocks)} - gaps
    blocks_max = part_blocks(len(missing))
    parts = parts_of(Step(file, Way.ORIGIN), missing)
    covered = [b for part in parts for b in range(part.first_block, part.first_block + part.block_count)]
    assert covered == sorted(missing)
    assert all(1 <= part.block_count <= blocks_max for part in parts)
    for part in parts:
        end = min(size_bytes, (part.first_block + part.block_count) * BLOCK_SIZE_BYTES)
        assert (part.start, part.start + part.size_bytes) == (part.first_block * BLOCK_SIZE_BYTES, end)
    for one, other in itertools.pairwise(parts):
        full = one.block_count == blocks_max
        assert full or other.first_block > one.first_block + one.block_count


@given(st.integers(0, 100_000))
def test_parts_grow_with_what_is_missing_but_stay_several_for_each_reader(missing: int) -> None:
    blocks = part_blocks(missing)
    assert PART_BLOCKS <= blocks <= PART_BLOCKS_MAX
    assert blocks == PART_BLOCKS or missing // blocks >= 16
    assert part_blocks(1024) == PART_BLOCKS_MAX
