"""Does a file hold a pickle? Whoever loads one runs whatever its author wrote, so publishing one must be asked for.

Told by name, and by content: the protocol header, opcodes that import something, torch's zip archives, and numpy
arrays of objects. What is compressed or nested deeper is not looked into; such files are known by name only.
"""

import io
import pickletools
import re
import zipfile
from pathlib import Path
from typing import BinaryIO

PREFIX_SIZE_BYTES = 64 * 1024
MEMBERS_MAX = 2_000
PROTOCOL_MAX = 5
OPCODES_ENOUGH = 16
_NAMES = frozenset({".pkl", ".pickle", ".joblib", ".dill", ".cloudpickle"})
_IMPORTED = re.compile(r"[A-Za-z_][\w.]* [A-Za-z_][\w.]*")
_STRINGS = frozenset({"SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "UNICODE", "SHORT_BINSTRING", "BINSTRING"})


def pickle_reason(name: str, stream: BinaryIO) -> str | None:
    """Why the file looks like a pickle, in a few words; None if it does not.

    Args:
        name: its path, for the extensions.
        stream: its bytes, seekable, at the start.
    """
    suffixes = [s.lower() for s in Path(name).suffixes[-2:]]
    named = next((s for s in suffixes if s in _NAMES), None)
    if named:
        return f"its name ends in {named}"
    prefix = stream.read(PREFIX_SIZE_BYTES)
    if prefix.startswith(b"PK\x03\x04"):
        return _in_zip(stream)
    if _objects_in_npy(prefix):
        return "a numpy array of objects"
    return "it holds pickle opcodes" if holds_pickle(prefix) else None


def holds_pickle(prefix: bytes) -> bool:
    """Whether bytes begin like a pickle of any protocol.

    With a protocol header a few valid opcodes are enough. Without one, some opcode must import something and the
    opcodes must end properly or be many: a list of words may begin with ``cat``, which imports ``at``.
    """
    has_header = len(prefix) > 2 and prefix[0] == 0x80 and prefix[1] <= PROTOCOL_MAX
    opcodes, strings, imports, ends = 0, 0, False, False
    try:
        for opcode, argument, _position in pickletools.genops(io.BytesIO(prefix)):
            opcodes += 1
            strings += opcode.name in _STRINGS
            imports |= opcode.name in {"GLOBAL", "INST"} and bool(_IMPORTED.fullmatch(str(argument)))
            imports |= opcode.name == "STACK_GLOBAL" and strings >= 2
            ends = opcode.name == "STOP"
            if opcodes >= OPCODES_ENOUGH and (has_header or imports):
                return True
    except Exception:
        # The prefix ends in the middle of an opcode, or these are no opcodes at all.
        return has_header and opcodes >= 3
    return ends and (imports or (has_header and opcodes >= 2))


def _in_zip(stream: BinaryIO) -> str | None:
    stream.seek(0)
    try:
        with zipfile.ZipFile(stream) as archive:
            for name in archive.namelist()[:MEMBERS_MAX]:
                if Path(name).suffix.lower() in _NAMES:
                    return f"an archive with {name[:80]} in it"
                if name.endswith(".npy"):
                    with archive.open(name) as member:
                        if _objects_in_npy(member.read(512)):
                            return f"an archive with a numpy array of objects, {name[:80]}"
    except (zipfile.BadZipFile, OSError, RuntimeError, NotImplementedError, ValueError, EOFError):
        return None
    return None


def _objects_in_npy(prefix: bytes) -> bool:
    return prefix.startswith(b"\x93NUMPY") and re.search(rb"'\|?O\d*'", prefix[:512]) is not None
