"""Files that are not what their names say: pointers, half downloads, web pages.

Published, they would reach every region, and be quarantined there.
"""

import re
from collections.abc import Iterable
from pathlib import PurePosixPath
from typing import BinaryIO

import orjson

from modelcast.schemas.errors import Refused

SAFETENSORS_HEADER_MAX = 16 * 1024**2
HEAD_BYTES = 1024
MODEL_ENDINGS = frozenset(
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
_POINTED_SIZE = re.compile(rb"^size (\d{1,20})\r?$", re.MULTILINE)
_PAGE = re.compile(rb"\s*(<!doctype html|<html)", re.IGNORECASE)
_MARKS = ((b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be"))
"""Byte order marks, as editors and shells of Windows write them in front of a text."""


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
        if ending in MODEL_ENDINGS:
            raise Refused("an empty file", subject=name, hint="write it again; or delete it")
        return
    head = stream.read(HEAD_BYTES)
    text = _without_mark(head)
    for magic, what, remedy in _POINTERS:
        if text.startswith(magic) and size_bytes <= HEAD_BYTES:
            size = _POINTED_SIZE.search(text)
            of = f" to {int(size[1])} bytes" if size else ""
            raise Refused(f"{what}{of}, and not the file itself", subject=name, hint=f"{remedy}, then publish again")
    if ending in MODEL_ENDINGS and _PAGE.match(text):
        raise Refused("a web page, and no model", subject=name, hint="download it again; was a login needed?")
    if ending == ".safetensors" and (told := _safetensors_size(head, stream)) and size_bytes < told:
        raise Refused(
            f"cut off: {size_bytes} bytes of {told}", subject=name, hint="write or download it again, to its end"
        )


def _without_mark(head: bytes) -> bytes:
    """How a text begins, in UTF-8, without a byte order mark and white space in front of it."""
    for mark, encoding in _MARKS:
        if head.startswith(mark):
            head = head[len(mark) :].decode(encoding, "ignore").encode()
    return head.lstrip()


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
