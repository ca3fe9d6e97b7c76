"""zstd with its traps closed: a frame's own claim of its size is compared before memory is taken for it."""

import zstandard

from modelcast.deltas.codec.errors import BadDelta

# Huffman and hardly any search: min_match 7 and a tiny hash table find no accidental matches among exponents.
_ORDER0 = zstandard.ZstdCompressionParameters(
    window_log=17,
    hash_log=6,
    chain_log=6,
    search_log=1,
    min_match=7,
    target_length=0,
    strategy=zstandard.STRATEGY_FAST,
)


def compress(data: bytes | memoryview, *, level: int) -> bytes:
    """Plain zstd."""
    return zstandard.ZstdCompressor(level=level).compress(data)


def compress_order0(data: bytes | memoryview) -> bytes:
    """Fast entropy coding of bytes that hold no repetitions worth finding."""
    return zstandard.ZstdCompressor(compression_params=_ORDER0).compress(data)


def compress_against(data: bytes | memoryview, base: bytes | memoryview, *, level: int) -> bytes:
    """zstd with ``base`` before the data, as ``zstd --patch-from`` does."""
    if not base:
        return compress(data, level=level)
    window_log = min(max((len(base) + len(data)).bit_length(), 17), 27)
    # Tables are capped: the strongest levels would take more memory than is promised. (Levels 5 to 15 keep
    # rows of recent positions: under this cap they forget most of the dictionary, and are of no use here.)
    parameters = zstandard.ZstdCompressionParameters.from_level(
        level, window_log=window_log, hash_log=min(window_log, 22), chain_log=min(window_log, 22)
    )
    dictionary = zstandard.ZstdCompressionDict(base, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
    return zstandard.ZstdCompressor(compression_params=parameters, dict_data=dictionary).compress(data)


def decompress(data: bytes | memoryview, size: int, base: bytes | memoryview = b"") -> bytes:
    """Decompress what must be exactly ``size`` bytes.

    Raises:
        BadDelta: it is not.
    """
    try:
        if zstandard.frame_content_size(data) != size:
            raise BadDelta("a compressed part declares another size than its frame")
        dictionary = zstandard.ZstdCompressionDict(base, dict_type=zstandard.DICT_TYPE_RAWCONTENT) if base else None
        found = zstandard.ZstdDecompressor(dict_data=dictionary, max_window_size=1 << 27).decompress(
            data, max_output_size=size, allow_extra_data=False
        )
    except zstandard.ZstdError as error:
        raise BadDelta(f"a compressed part is damaged: {error}") from None
    if len(found) != size:
        raise BadDelta("a compressed part has another size than it declares")
    return found
