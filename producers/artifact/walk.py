"""The files of a folder, found without reading them.

Links are followed as long as they stay inside the folder, or in the cache of Hugging Face that it is a part of.
"""

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from modelcast.producers.artifact.file_names import escaped_name
from modelcast.producers.artifact.ignoring import ENVIRONMENT_FILE, HUGGING_FACE, Ignoring
from modelcast.producers.artifact.unfinished import check_finished
from modelcast.schemas.errors import Refused
from modelcast.schemas.manifest import PATH_BYTES_MAX

_CACHED = ("models--", "datasets--", "spaces--")
"""How folders in the cache of Hugging Face are called."""


@dataclass(frozen=True, slots=True)
class Found:
    """A file: its path in the artifact, where its bytes are, and how many."""

    name: str
    path: Path
    size_bytes: int


class Walk:
    """Goes through one folder.

    Attributes:
        empty: folders without entries, which a manifest can't hold.
        left_out: what is ignored, with the reason.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._within = (root, *_blobs_of(root))
        self._ignoring = Ignoring.of(root)
        self.empty: list[str] = []
        self.left_out: list[str] = []

    def files(self) -> list[Found]:
        """Every file, by name.

        Raises:
            Refused: a link that leaves the folder; something unreadable, or that is no file; a half download;
                a folder of Hugging Face's cache that holds a model in several revisions.
        """
        if self._root.name.startswith(_CACHED) and (self._root / "snapshots").is_dir():
            raise Refused(
                "Hugging Face's cache of a model, in all its revisions",
                subject=str(self._root),
                hint="publish one of the folders in its `snapshots`",
            )
        return sorted(self._in(self._root, "", ()), key=lambda f: f.name.encode("utf-8", "surrogateescape"))

    def _in(self, folder: Path, prefix: str, above: tuple[Path, ...]) -> Iterator[Found]:
        if len(os.fsencode(prefix)) > PATH_BYTES_MAX:
            raise Refused(
                f"a path of more than {PATH_BYTES_MAX} bytes, at most {PATH_BYTES_MAX} can be carried",
                subject=prefix[:200],
                hint="rename its folders",
            )
        try:
            with os.scandir(folder) as listing:
                entries = sorted(listing, key=lambda e: e.name)
        except OSError as error:
            raise unreadable(error, folder) from None
        if not entries:
            self.empty.append(f"{escaped_name(prefix) or './'} is an empty folder and is not carried")
        for entry in entries:
            name = prefix + entry.name
            if self._leaves_out(entry, name):
                continue
            path = Path(entry.path)
            if entry.is_symlink():
                path = self._followed(path)
            try:
                status = path.stat()
            except OSError as error:
                raise unreadable(error, Path(entry.path)) from None
            if stat.S_ISDIR(status.st_mode):
                if path in above or path == folder:
                    raise Refused(
                        "a link that leads back to a folder around it", subject=entry.path, hint="take it out"
                    )
                yield from self._in(path, name + "/", (*above, folder))
            else:
                yield regular(name, path, status)

    def _followed(self, link: Path) -> Path:
        try:
            target = link.resolve(strict=True)
        except (OSError, RuntimeError) as error:
            raise Refused(
                f"a link to nowhere: {reason(error)}", subject=str(link), hint="take it out, or mend it"
            ) from None
        if not any(target.is_relative_to(folder) for folder in self._within):
            hint = "copy the file in; `cp -rL FOLDER COPY` copies a folder with what its links name"
            raise Refused(f"a link that leaves the folder, to {target}", subject=str(link), hint=hint)
        return target

    def _leaves_out(self, entry: os.DirEntry[str], name: str) -> bool:
        try:
            shown = name + "/" if entry.is_dir() else name
        except OSError:
            shown = name
        is_environment = shown.endswith("/") and _is_there(Path(entry.path) / ENVIRONMENT_FILE)
        why = self._ignoring.why(shown, is_environment=is_environment)
        if why is None:
            return False
        self.left_out.append(f"{escaped_name(shown)} ({why})")
        if f"/{shown}".endswith("/" + HUGGING_FACE):
            check_finished(f"{shown}download/{half}" for half in _halves(Path(entry.path) / "download"))
        return True


def _blobs_of(root: Path) -> tuple[Path, ...]:
    """Where the cache of Hugging Face keeps the files of a snapshot, which holds links to them only.

    ``models--ORGANISATION--NAME/snapshots/REVISION`` beside ``blobs``; ``root`` is that, or a folder in it.
    """
    for folder in (root, *root.parents):
        cached = folder.parent.parent
        if folder.parent.name == "snapshots" and cached.name.startswith(_CACHED) and (cached / "blobs").is_dir():
            return ((cached / "blobs").resolve(),)
    return ()


def _is_there(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # in a folder that can't be read
        return False


def _halves(folder: Path) -> Iterator[str]:
    """What Hugging Face has begun to download beside the files that it brought."""
    for _, _, names in os.walk(folder):
        yield from (name for name in names if name.endswith(".incomplete"))


def regular(name: str, path: Path, status: os.stat_result) -> Found:
    """A file under a name.

    Raises:
        Refused: it is none.
    """
    if not stat.S_ISREG(status.st_mode):
        raise Refused("neither a file nor a folder", subject=str(path), hint="sockets, pipes and devices have no bytes")
    return Found(name, path, status.st_size)


def unreadable(error: OSError | RuntimeError, path: Path) -> Refused:
    """The error of a file or folder that can't be read."""
    return Refused(f"can't be read: {reason(error)}", subject=str(path), hint="mend its permissions")


def reason(error: BaseException) -> str:
    """What an error says, in words."""
    return getattr(error, "strerror", None) or str(error)
