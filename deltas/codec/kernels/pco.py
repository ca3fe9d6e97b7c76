"""Runs of integers through pcodec, in its classic mode and without its delta modes: both are checked on reading,
because the others take memory that the data's size does not bound."""

from typing import Any

from numpy.typing import NDArray
from pcodec import ChunkConfig, DeltaSpec, ModeSpec, PagingSpec, wrapped

from modelcast.deltas.codec.errors import BadDelta

_HEADER = b"\x04\x01"  # of the wrapped format; the tests notice when a release of pcodec writes another
_NAMES = {"i1": "i8", "i2": "i16", "i4": "i32", "i8": "i64", "u4": "u32"}
_CONFIG = ChunkConfig(
    compression_level=8,
    mode_spec=ModeSpec.classic(),
    delta_spec=DeltaSpec.no_op(),
    paging_spec=PagingSpec.equal_pages_up_to(1 << 24),
    enable_8_bit=True,
)


def compress(values: NDArray[Any]) -> tuple[bytes, bytes]:
    """The metadata and the page of up to 2**24 values."""
    chunk = wrapped.FileCompressor().chunk_compressor(values, _CONFIG)
    return chunk.write_meta(), chunk.write_page(0)


def decompress(meta: bytes, page: bytes, out: NDArray[Any]) -> None:
    """Read exactly as many values as ``out`` holds.

    Raises:
        BadDelta: they are not there, or in a mode that is not allowed.
    """
    if not meta or meta[0]:
        raise BadDelta("a group of values is compressed in a mode that is not allowed")
    try:
        file, _ = wrapped.FileDecompressor.new(_HEADER)
        chunk, meta_read = file.chunk_decompressor(meta, _NAMES[out.dtype.str[1:]])
        progress, page_read = chunk.read_page_into(page, len(out), out)
    except (KeyboardInterrupt, SystemExit, MemoryError):
        raise
    except BaseException as error:  # pcodec's panics are no Exceptions
        raise BadDelta(f"a group of values is damaged: {str(error)[:120]}") from None
    if progress.n_processed != len(out) or meta_read != len(meta) or page_read != len(page):
        raise BadDelta("a group of values has another length than it declares")
