"""Files that are not what their names say: pointers, half downloads, shards without the others.

Published, they would reach every region, and be quarantined there.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import PurePosixPath
from typing import BinaryIO

import orjson

from modelcast.schemas.errors import Refused

INDEX_SIZE_MAX = 64 * 1024**2
SAFETENSORS_HEADER_MAX = 16 * 1024**2
SHOWN_MAX = 5
HEAD_BYTES = 1024
_MODELS = frozenset(
    [
        ".onnx",
        ".safetensors",
        ".pt",
        ".pth",
        ".ckpt",
        ".h5",
        ".hdf5",
        ".keras",
        ".pb",
        ".tflite",
        ".gguf",
        ".ggml",
        ".npy",
        ".npz",
        ".msgpack",
        ".params",
        ".mlmodel",
        ".engine",
        ".plan",
        ".ubj",
        ".pkl",
        ".pickle",
        ".joblib",
        ".bin",
        ".ot",
        ".pdparams",
        ".pdmodel",
        ".nemo",
        ".mar",
        ".ort",
        ".model",
        ".cbm",
    ]
)
_UNFINISHED = {
    ".incomplete": "Hugging Face",
    ".part": "a browser or downloader",
    ".partial": "a browser or downloader",
    ".filepart": "WinSCP",
    ".crdownload": "Chrome",
    ".download": "Safari",
    ".opdownload": "Opera",
    ".aria2": "aria2",
    ".aria2__temp": "aria2",
    ".pulling": "modelcast pull",
}
_POINTERS = (
    (b"version https://git-lfs.github.com/spec/", "a git-lfs pointer", "git lfs pull"),
    (b"version https://hawser.github.com/spec/", "a git-lfs pointer", "git lfs pull"),
    (b"/annex/objects/", "a git-annex pointer", "git annex get"),
    (b"../.git/annex/objects/", "a git-annex pointer", "git annex get"),
    (b".git/annex/objects/", "a git-annex pointer", "git annex get"),
    (b"# xet version", "a Xet pointer", "git xet checkout"),
)
_POINTED_SIZE = re.compile(rb"^size (\d{1,20})$", re.MULTILINE)
_PAGE = re.compile(rb"\s*(<!doctype html|<html)", re.IGNORECASE)
_SHARD = re.compile(r"(.*)-(\d{5})-of-(\d{5})(.*)", re.DOTALL)
_INDEX = re.compile(r"\.index(\.[\w-]+)?\.json$")


def check_finished(names: Iterable[str]) -> None:
    """Refuse names that downloads have until they are done.

    Raises:
        Refused: one of them.
    """
    for name in names:
        for part in PurePosixPath(name).parts:
            by = _UNFINISHED.get(PurePosixPath(part).suffix.lower())
            if by is not None:
                raise Refused(
                    f"an unfinished download, of {by}",
                    subject=name,
                    hint="let it finish; or delete it, or name it in .modelcastignore",
                )


def check_content(name: str, size_bytes: int, stream: BinaryIO) -> None:
    """Refuse a file whose beginning or size shows that the model is elsewhere.

    Args:
        name: its path.
        size_bytes: all of it.
        stream: its bytes, at the start; it is left anywhere.

    Raises:
        Refused: a pointer, an empty or cut off model, a web page in its place.
        OSError: the disk.
    """
    ending = PurePosixPath(name).suffix.lower()
    if not size_bytes:
        if ending in _MODELS:
            raise Refused("an empty file", subject=name, hint="write it again; or delete it")
        return
    head = stream.read(HEAD_BYTES)
    for magic, what, remedy in _POINTERS:
        if head.startswith(magic) and size_bytes <= HEAD_BYTES:
            size = _POINTED_SIZE.search(head)
            of = f" to {int(size[1])} bytes" if size else ""
            raise Refused(f"{what}{of}, and not the file itself", subject=name, hint=f"{remedy}, then publish again")
    if ending in _MODELS and _PAGE.match(head):
        raise Refused("a web page, and no model", subject=name, hint="download it again; was a login needed?")
    if ending == ".safetensors" and (told := _safetensors_size(head, stream)) and size_bytes < told:
        raise Refused(
            f"cut off: {size_bytes} bytes of {told}", subject=name, hint="write or download it again, to its end"
        )


def _safetensors_size(head: bytes, stream: BinaryIO) -> int | None:
    """Bytes of the whole file by its header; None if that says nothing that makes sense."""
    size = int.from_bytes(head[:8], "little")
    if len(head) < 8 or not 2 <= size <= SAFETENSORS_HEADER_MAX:
        return None
    if head[8:9] != b"{":
        return None
    header = head[8 : 8 + size]
    while len(header) < size and (more := stream.read(size - len(header))):
        header += more
    if len(header) < size:
        return 8 + size
    try:
        tensors = orjson.loads(header)
        ends = [t["data_offsets"][1] for name, t in tensors.items() if name != "__metadata__"]
    except (ValueError, TypeError, KeyError, IndexError, AttributeError):
        return None
    return 8 + size + max((end for end in ends if isinstance(end, int)), default=0)


def is_index(name: str) -> bool:
    """Whether a file lists the shards of a model."""
    return _INDEX.search(name) is not None


def check_shards(names: Iterable[str], read: Callable[[str], bytes]) -> None:
    """Refuse a model of which some shards are there and some are not.

    Args:
        names: of all files that are published.
        read: gives the content of a small one.

    Raises:
        Refused: the missing ones are named.
        OSError: the disk.
    """
    there = set(names)
    for name in sorted(there):
        if is_index(name):
            folder = name.rpartition("/")[0]
            shards = {f"{folder}/{shard}" if folder else shard for shard in _shards_of(read(name))}
            _refuse_missing(name, "lists", sorted(shards - there))
    sets: dict[tuple[str, str, str], set[int]] = {}
    for name in there:
        if shard := _SHARD.fullmatch(name):
            sets.setdefault((shard[1], shard[3], shard[4]), set()).add(int(shard[2]))
    for (before, total, after), numbers in sorted(sets.items()):
        first = 0 if 0 in numbers else 1
        wanted = range(first, int(total) + first)
        if not numbers <= set(wanted):
            continue
        missing = [f"{before}-{n:05}-of-{total}{after}" for n in wanted if n not in numbers]
        _refuse_missing(f"{before}-{min(numbers):05}-of-{total}{after}", "is one of", missing)


def _shards_of(index: bytes) -> set[str]:
    if len(index) > INDEX_SIZE_MAX:
        return set()
    try:
        told = orjson.loads(index)
    except ValueError:
        return set()
    weights = told.get("weight_map") if isinstance(told, Mapping) else None
    return {shard for shard in weights.values() if isinstance(shard, str)} if isinstance(weights, Mapping) else set()


def _refuse_missing(name: str, how: str, missing: list[str]) -> None:
    if missing:
        more = f" and {len(missing) - SHOWN_MAX} more" if len(missing) > SHOWN_MAX else ""
        raise Refused(
            f"{how} shards that are not there: {', '.join(missing[:SHOWN_MAX])}{more}",
            subject=name,
            hint="download or save the model again; or take this file out, if nothing needs it",
        )
