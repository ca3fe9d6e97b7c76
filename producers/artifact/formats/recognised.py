"""Formats that are known by a mark at their beginning, or by a structure that fills the whole file.

A name alone proves nothing; an ending in ``STRICT`` promises a format, and a file that breaks the promise is unknown,
text or not. ONNX is recognised where its external data is looked for (``onnx_data``).
"""

import zipfile
import zlib
from collections.abc import Callable
from pathlib import PurePosixPath
from typing import BinaryIO

from modelcast.producers.artifact.formats.safetensors import is_safetensors
from modelcast.producers.artifact.formats.wire import BYTES, NotWellFormed, TooManyFields, WireReader

EMPTY, TEXT = "empty", "text"
HEAD_BYTES = 512
FIELDS_MAX = 300_000
_MARKS: tuple[tuple[int, bytes, str], ...] = (
    (0, b"\x93NUMPY", "npy"),
    (0, b"\x89HDF\r\n\x1a\n", "hdf5"),
    (4, b"TFL3", "tflite"),
    (4, b"ORTM", "ort"),
    (0, b"CBM1", "catboost"),
    (0, b"binf", "xgboost"),
    (0, b"\xba\x16\x4f\x2f", "fasttext"),
    (0, b"\x89PNG\r\n\x1a\n", "image"),
    (0, b"\xff\xd8\xff", "image"),
    (0, b"GIF8", "image"),
)
_GGUF_VERSIONS = (2, 3)
_TABLE_END = bytes.fromhex("57fb808b247547db")
"""The last bytes of a LevelDB table, as the index of a TensorFlow checkpoint is one."""
_UBJSON_LEARNER = b"learner"
_ZIPS: dict[str, Callable[[set[str]], bool]] = {
    ".npz": lambda names: bool(names) and all(name.endswith(".npy") for name in names),
    ".keras": lambda names: {"config.json", "model.weights.h5"} <= names,
    ".skops": lambda names: "schema.json" in names,
    ".mar": lambda names: "MAR-INF/MANIFEST.json" in names,
}
"""Archives by their ending: what must lie in them. Their members are looked into for pickles like any others."""
_MESSAGES = frozenset([".pb", ".mlmodel", ".pdmodel"])
_PIECES = frozenset([".model", ".spm"])
_PIECE_FIELDS = range(1, 6)
STRICT = frozenset(
    [
        *(".onnx", ".safetensors", ".gguf", ".npy", ".h5", ".hdf5", ".tflite", ".ort", ".cbm", ".ftz"),
        *(".pb", ".mlmodel", *_ZIPS),
        *(".png", ".jpg", ".jpeg", ".gif", ".webp"),
    ]
)
"""Endings that promise a format."""
_OF_STRICT = {
    **{".h5": "hdf5", ".hdf5": "hdf5", ".cbm": "catboost", ".ftz": "fasttext", ".pb": "protobuf"},
    **{".mlmodel": "protobuf", **dict.fromkeys((".png", ".jpg", ".jpeg", ".gif", ".webp"), "image")},
}
"""How the promised format is called, where it is not as the ending is."""


def format_of(name: str, size_bytes: int, stream: BinaryIO) -> str:
    """The format of a file; "": none that is told by a mark or a structure (``TextCheck`` tells text).

    Args:
        name: its path.
        size_bytes: all of it.
        stream: its bytes, at any place; it is left anywhere.

    Raises:
        OSError: the disk.
    """
    if not size_bytes:
        return EMPTY
    ending = PurePosixPath(name).suffix.lower()
    found = _found(ending, size_bytes, stream)
    if ending in STRICT and found != _OF_STRICT.get(ending, ending[1:]):
        return ""
    return found


def may_be_text(name: str) -> bool:
    """Whether a file of this name may be known as text."""
    return PurePosixPath(name).suffix.lower() not in STRICT


def _found(ending: str, size_bytes: int, stream: BinaryIO) -> str:
    stream.seek(0)
    head = stream.read(HEAD_BYTES)
    for at, mark, name in _MARKS:
        if head.startswith(mark, at):
            return name
    if head.startswith(b"RIFF") and head.startswith(b"WEBP", 8):
        return "image"
    if head.startswith(b"GGUF") and int.from_bytes(head[4:8], "little") in _GGUF_VERSIONS:
        return "gguf"
    if is_safetensors(head, size_bytes, stream):
        return "safetensors"
    if head.startswith(b"{") and _UBJSON_LEARNER in head and ending in {".ubj", ".model", ".bst", ".json"}:
        return "xgboost"
    if ending in _ZIPS:
        return ending[1:] if _ZIPS[ending](_members(stream)) else ""
    if ending == ".index" and size_bytes > len(_TABLE_END):
        stream.seek(size_bytes - len(_TABLE_END))
        return "checkpoint index" if stream.read(len(_TABLE_END)) == _TABLE_END else ""
    if ending == ".gz":
        return "text in gzip" if _is_text_in_gzip(stream) else ""
    if ending in _MESSAGES:
        return "protobuf" if _is_message(size_bytes, stream) else ""
    if ending in _PIECES:
        return "sentencepiece" if _is_sentencepiece(size_bytes, stream) else ""
    return ""


def _members(stream: BinaryIO) -> set[str]:
    """Names of a zip's members; none if it is no zip. Its list of members was bounded when pickles were looked for."""
    stream.seek(0)
    try:
        with zipfile.ZipFile(stream) as archive:
            return set(archive.namelist())
    except (zipfile.BadZipFile, ValueError, RuntimeError):
        return set()


def _is_text_in_gzip(stream: BinaryIO) -> bool:
    """By how it begins: pickles in it have been looked for to the end."""
    stream.seek(0)
    try:
        found = zlib.decompressobj(wbits=31).decompress(stream.read(64 * 1024), 64 * 1024)
    except zlib.error:
        return False
    text = found.decode("utf-8", "ignore")
    return bool(found) and b"\0" not in found and len(found) - len(text.encode()) < 4  # a character that is cut off


def _is_message(size_bytes: int, stream: BinaryIO) -> bool:
    """Whether fields of protobuf fill it, whatever they mean."""
    try:
        for _ in WireReader(stream, FIELDS_MAX).fields(0, size_bytes):
            pass
    except NotWellFormed:
        return False
    except TooManyFields:
        return True
    return True


def _is_sentencepiece(size_bytes: int, stream: BinaryIO) -> bool:
    """Whether it is a ModelProto of sentencepiece: pieces, each with a text and a score, and a few specifications."""
    reader = WireReader(stream, FIELDS_MAX)
    first = True
    try:
        for number, wire, start, end in reader.fields(0, size_bytes):
            if number in _PIECE_FIELDS and wire != BYTES:
                return False
            if first:
                found = [(n, w) for n, w, _, _ in reader.fields(start, end)]
                if number != 1 or (1, BYTES) not in found:
                    return False
            first = False
    except NotWellFormed:
        return False
    except TooManyFields:
        return True
    return not first
