"""How a large file is cut into the parts of a multipart upload: the same way each time, so that a rerun finds them."""

PART_SIZE_MIN_BYTES = 5 * 1024 * 1024
"""S3 takes no less."""
PARTS_AIMED_AT = 500
PART_SIZE_AIMED_MAX_BYTES = 64 * 1024 * 1024
"""Only what would take more than ``PARTS_MAX`` of them has larger parts: they are held in memory."""
PARTS_MAX = 10_000
MULTIPART_FROM_BYTES = 16 * 1024 * 1024
PART_SIZES_BEFORE = (16 * 1024 * 1024,)
"""Of earlier releases."""
_STEP = 1024 * 1024


def part_size_of(size_bytes: int) -> int:
    """Bytes of each part but the last: small, because a part that is cut off is sent again whole."""
    aimed = min(size_bytes // PARTS_AIMED_AT, PART_SIZE_AIMED_MAX_BYTES)
    wanted = max(PART_SIZE_MIN_BYTES, aimed, -(-size_bytes // PARTS_MAX))
    return -(-wanted // _STEP) * _STEP
