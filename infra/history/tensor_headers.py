"""The names, types and shapes of the tensors in a stored file, by reading its header alone."""

import json
from collections.abc import Mapping
from types import MappingProxyType

from modelcast.schemas import keys
from modelcast.schemas.errors import ContentError
from modelcast.schemas.history.difference import TensorShape
from modelcast.schemas.manifest import FileEntry
from modelcast.schemas.ports import ObjectStore

SUFFIX = ".safetensors"
HEADER_SIZE_MAX = 16 * 1024 * 1024
_LENGTH_BYTES = 8


def has_header(file: FileEntry) -> bool:
    """Whether the file is of a kind whose tensors stand in a header that is read here."""
    return file.path.lower().endswith(SUFFIX)


def tensor_shapes(store: ObjectStore, file: FileEntry) -> Mapping[str, TensorShape]:
    """The tensors of a safetensors file, by name; two ranged reads.

    Raises:
        NotFound: its bytes are not in the store.
        ContentError: it has no such header.
    """
    size = int.from_bytes(_read(store, file, 0, _LENGTH_BYTES), "little")
    if not 2 <= size <= min(HEADER_SIZE_MAX, file.size_bytes - _LENGTH_BYTES):
        raise _bad(file, f"its header claims {size} bytes")
    try:
        header = json.loads(_read(store, file, _LENGTH_BYTES, size))
        found = {
            str(name): TensorShape(str(each["dtype"]), tuple(map(int, each["shape"])))
            for name, each in header.items()
            if name != "__metadata__"
        }
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise _bad(file, f"its header can't be read: {type(error).__name__}") from None
    return MappingProxyType(found)


def _read(store: ObjectStore, file: FileEntry, start: int, length: int) -> bytes:
    body, done = bytearray(length), 0
    with store.open(keys.blob(file.digest), start=start, length=length) as stream:
        while done < length and (count := stream.readinto(memoryview(body)[done:])):
            done += count
    if done < length:
        raise _bad(file, "it ends within its header")
    return bytes(body)


def _bad(file: FileEntry, why: str) -> ContentError:
    return ContentError(f"no safetensors file: {why}", subject=file.path)
