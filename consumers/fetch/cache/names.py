"""File systems that take two names for one: they ignore case, or in which form of Unicode a name is written."""

import unicodedata
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from modelcast.consumers.fetch.errors import NamesCollide
from modelcast.schemas.manifest import FileEntry, Manifest


def check_names_apart(folder: Path, manifest: Manifest) -> None:
    """Look whether ``folder`` can hold all files of a manifest side by side; its subfolders are there.

    Raises:
        NamesCollide: one would be written over another.
    """
    alike: defaultdict[str, list[FileEntry]] = defaultdict(list)
    for file in manifest.files:
        alike[unicodedata.normalize("NFC", file.path).casefold()].append(file)
    for files in alike.values():
        if len(files) > 1:
            _check(folder, files)


def _check(folder: Path, files: Sequence[FileEntry]) -> None:
    made: list[Path] = []
    seen: dict[tuple[int, int], FileEntry] = {}
    try:
        for file in files:
            path = folder / file.path
            if not path.exists():
                path.touch()
                made.append(path)
            there = path.stat()
            other = seen.setdefault((there.st_dev, there.st_ino), file)
            if other.digest != file.digest:
                raise NamesCollide(
                    f"{other.path!r} and {file.path!r} are one file on this file system",
                    subject=str(folder),
                    hint="use a folder on one that tells upper case from lower, and forms of Unicode apart",
                )
    finally:
        for path in made:
            path.unlink(missing_ok=True)
