"""Files that are not what their names say: pointers, half downloads, web pages, error messages.

Published, they would reach every region, and be quarantined there.
"""

import re
from collections.abc import Iterable
from pathlib import PurePosixPath
from typing import BinaryIO

import orjson

from modelcast.producers.artifact.whole_size import least_size
from modelcast.schemas.errors import Refused

HEAD_BYTES = 1024
ERROR_SIZE_MAX = 64 * 1024
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
_XML_ERROR = re.compile(rb"(<\?xml[^>]*\?>\s*)?<Error>")
_JSON_ERROR_KEYS = frozenset(["error", "errors", "message", "detail"])
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
        stream: its bytes, at the start, to be read and sought; it is left anywhere.

    Raises:
        Refused: a pointer, an empty or cut off model, a web page or a server's error in its place.
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
    if ending in MODEL_ENDINGS and (_XML_ERROR.match(text) or _is_json_error(text, size_bytes, stream)):
        raise Refused(
            "a server's error message, and no model", subject=name, hint="read it, then download the model again"
        )
    if (least := least_size(ending, head, stream)) and size_bytes < least:
        raise Refused(
            f"cut off: {size_bytes} bytes of at least {least}",
            subject=name,
            hint="write or download it again, to its end",
        )


def _is_json_error(text: bytes, size_bytes: int, stream: BinaryIO) -> bool:
    """Whether all of it is what a web service answers in place of a file."""
    if not text.startswith(b"{") or size_bytes > ERROR_SIZE_MAX:
        return False
    stream.seek(0)
    try:
        found = orjson.loads(_without_mark(stream.read(ERROR_SIZE_MAX)))
    except ValueError:
        return False
    return isinstance(found, dict) and not _JSON_ERROR_KEYS.isdisjoint(key.lower() for key in found)


def _without_mark(head: bytes) -> bytes:
    """How a text begins, in UTF-8, without a byte order mark and white space in front of it."""
    for mark, encoding in _MARKS:
        if head.startswith(mark):
            head = head[len(mark) :].decode(encoding, "ignore").encode()
    return head.lstrip()
