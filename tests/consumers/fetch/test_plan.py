"""The plan: every file once, the cheapest way."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from modelcast.consumers.fetch.plan import PART_BLOCKS_MAX, PART_BLOCKS_MIN, Step, Way, parts_of, plan, runs
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


@given(st.integers(1, 40 * BLOCK_SIZE_BYTES), st.data())
def test_parts_cover_the_missing_blocks_and_no_others(size_bytes: int, data: st.DataObject) -> None:
    blocks = -(-size_bytes // BLOCK_SIZE_BYTES)
    file = entry("w", b"")
    file = type(file)("w", size_bytes, file.digest, ("",) * blocks)
    missing = data.draw(st.sets(st.integers(0, blocks - 1)))
    parts = parts_of([Step(file, Way.ORIGIN)], {file.digest: missing})
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
    counts = [count for _, count in runs(set(range(129)))]
    assert counts[0] == PART_BLOCKS_MAX
    assert counts[-4:-1] == [PART_BLOCKS_MIN] * 3
    assert counts == sorted(counts, reverse=True)


def test_the_end_is_that_of_the_last_file() -> None:
    assert {count for _, count in runs(set(range(64)), after=128)} == {PART_BLOCKS_MAX}


def test_a_block_that_has_begun_is_the_first_of_a_part() -> None:
    file = entry("w", bytes(40 * BLOCK_SIZE_BYTES))
    step, missing = Step(file, Way.ORIGIN), {file.digest: set(range(3, 40))}
    parts = parts_of([step], missing, {file.digest: {3: 17, 6: 4096}})
    assert [(part.first_block, part.begun_bytes) for part in parts if part.begun_bytes] == [(3, 17), (6, 4096)]
    assert parts[0].block_count == 3
    assert [b for p in parts for b in range(p.first_block, p.first_block + p.block_count)] == list(range(3, 40))
