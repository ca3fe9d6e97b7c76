"""Whether a file is a safetensors file: its header says where each tensor lies, and the tensors fill the rest."""

from typing import BinaryIO

import orjson

HEADER_MAX_BYTES = 32 * 1024**2
"""Some 300,000 tensors; the format itself allows 100 MB."""


def is_safetensors(head: bytes, size_bytes: int, stream: BinaryIO) -> bool:
    """Whether it is one, to the last byte: no hole, no overlap, nothing behind the last tensor.

    Args:
        head: how it begins.
        size_bytes: all of it.
        stream: its bytes, at any place; it is left anywhere.

    Raises:
        OSError: the disk.
    """
    length = int.from_bytes(head[:8], "little")
    if head[8:9] != b"{" or not 2 <= length <= min(HEADER_MAX_BYTES, size_bytes - 8):
        return False
    stream.seek(8)
    header = bytearray()
    while len(header) < length and (more := stream.read(length - len(header))):
        header += more
    try:
        tensors = orjson.loads(header)
        spans = sorted(tuple(t["data_offsets"]) for name, t in tensors.items() if name != "__metadata__")
        at = 0
        for begin, end in spans:
            if begin != at or end < begin:
                return False
            at = end
    except (ValueError, TypeError, KeyError, AttributeError):
        return False
    return bool(at == size_bytes - 8 - length)
