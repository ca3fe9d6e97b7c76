"""The files of a folder, found without reading them. Links are followed as long as they stay inside the folder."""

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from modelcast.producers.artifact.file_names import escaped_name
from modelcast.producers.artifact.ignoring import HUGGING_FACE, Ignoring
from modelcast.producers.artifact.unfinished import check_finished
from modelcast.schemas.errors import Refused
from modelcast.schemas.manifest import PATH_BYTES_MAX


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
        self._ignoring = Ignoring.of(root)
        self.empty: list[str] = []
        self.left_out: list[str] = []

    def files(self) -> list[Found]:
        """Every file, by name.

        Raises:
            Refused: a link that leaves the folder; something unreadable, or that is no file; a half download.
        """
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
                path = _inside(self._root, path)
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

    def _leaves_out(self, entry: os.DirEntry[str], name: str) -> bool:
        try:
            shown = name + "/" if entry.is_dir() else name
        except OSError:
            shown = name
        why = self._ignoring.why(shown)
        if why is None:
            return False
        self.left_out.append(f"{escaped_name(shown)} ({why})")
        if f"/{shown}".endswith("/" + HUGGING_FACE):
            check_finished(f"{shown}download/{half}" for half in _halves(Path(entry.path) / "download"))
        return True


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


def _inside(root: Path, link: Path) -> Path:
    try:
        target = link.resolve(strict=True)
    except (OSError, RuntimeError) as error:
        raise Refused(
            f"a link to nowhere: {reason(error)}", subject=str(link), hint="take it out, or mend it"
        ) from None
    if not target.is_relative_to(root):
        raise Refused(f"a link that leaves the folder, to {target}", subject=str(link), hint="copy the file in")
    return target
