"""Where a person's copy is put together: in the folder itself if it is there, else beside it. What a kill left goes on.

A folder that is there may be a mounted volume, or all that its owner may write to, so nothing is made beside it.
Until it is whole all of it lies in ``.modelcast.pulling``; then its files and folders move up, one rename each. They
are noted before, so that the next pull takes them back first, whether it wants the same version or another.
"""

import errno
import json
import os
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from modelcast.infra.files import NoLocks, acquire, hidden_name, sync, written_aside
from modelcast.schemas.errors import Refused, UsageError

ENDING = ".pulling"
INSIDE = f".modelcast{ENDING}"
OF_THE_VOLUME = {
    "lost+found",
    ".snapshot",
    ".Trashes",
    ".fseventsd",
    ".Spotlight-V100",
    "System Volume Information",
    "$RECYCLE.BIN",
}
"""What file systems keep in folders that are empty otherwise."""
TRIES = 5
SHOWN_MAX = 5
_UNWRITABLE = {
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.ENOTDIR,
    errno.EEXIST,
    errno.ELOOP,
    errno.ENAMETOOLONG,
}


class WorkArea:
    """One pull's, held by it alone.

    Args:
        target: the folder to fill.
        inside: it is there, so the area lies in it.

    Attributes:
        folder: the area.
    """

    def __init__(self, target: Path, *, inside: bool) -> None:
        self.folder = target / INSIDE if inside else target.parent / hidden_name(target.name, ENDING)
        self._target, self._inside = target, inside
        self._moving = self.folder / "moving.json"

    def fill(self, files: Path) -> None:
        """Make the target of all that lies in ``files``, a folder of this area, and remove the area.

        Raises:
            UsageError: something appeared in the target meanwhile.
            OSError: the disk. The target is as it was.
        """
        if self._inside:
            self._move(files)
        else:
            self.check_empty()
            files.rename(self._target)
        with suppress(PermissionError):  # who may write a folder need not be allowed to open it
            sync(self._target if self._inside else self._target.parent)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _move(self, files: Path) -> None:
        names = sorted(path.name for path in files.iterdir())
        if there := [name for name in names if os.path.lexists(self._target / name)]:
            raise _taken(self._target, there)
        with written_aside(self._moving) as noted:
            noted.write(json.dumps({"from": str(files.relative_to(self.folder)), "names": names}).encode())
        try:
            for name in names:
                (files / name).rename(self._target / name)
        except BaseException:
            self.take_back()
            raise

    def take_back(self) -> None:
        """Undo what an interrupted ``fill`` moved."""
        for name, home in self._moved().items():
            (self._target / name).rename(home)
        self._moving.unlink(missing_ok=True)

    def check_empty(self) -> None:
        """Look whether the target holds nothing but what its file system and earlier pulls put there.

        Raises:
            UsageError: it holds more, or is there by now though it was not.
        """
        if self._inside:
            ours = {INSIDE, *OF_THE_VOLUME, *self._moved()}
            if others := sorted(
                {path.name for path in self._target.iterdir() if not path.name.startswith(".Trash-")} - ours
            ):
                raise _taken(self._target, others)
        elif os.path.lexists(self._target):
            raise _taken(self._target, ())

    def _moved(self) -> dict[str, Path]:
        """What an interrupted ``fill`` moved: where each came from, by name."""
        try:
            noted = json.loads(self._moving.read_bytes())
        except FileNotFoundError:
            return {}
        homes = {name: self.folder / noted["from"] / name for name in noted["names"]}
        return {n: home for n, home in homes.items() if os.path.lexists(self._target / n) and not os.path.lexists(home)}


@contextmanager
def work_area(folder: Path) -> Iterator[WorkArea]:
    """The area for filling ``folder``. It is gone once that is done; else it stays, for the next pull to go on with.

    Raises:
        UsageError: the folder holds something, leads nowhere, or can't be written.
        Refused: another pull is filling it.
    """
    target = _resolved(folder)
    area, lock = _entered(target)
    try:
        area.take_back()
        yield area
    finally:
        if lock is not None:
            os.close(lock)


def _resolved(folder: Path) -> Path:
    """Where the files go: links are followed.

    Raises:
        UsageError: there is something that is no folder.
    """
    target = folder.absolute()
    if not os.path.lexists(target):
        return target
    try:
        found = target.resolve(strict=True)
    except (OSError, RuntimeError) as error:
        message = f"a link to nowhere: {getattr(error, 'strerror', None) or error}"
        raise UsageError(message, subject=str(folder), hint="mend the link, or name another folder") from None
    if not found.is_dir():
        raise _taken(folder, ())
    return found


def _entered(target: Path) -> tuple[WorkArea, int | None]:
    """The area, and the lock that keeps others out; None where the file system has none: then this pull is alone."""
    for _ in range(TRIES):
        try:
            area = WorkArea(target, inside=target.is_dir())
            area.check_empty()
            area.folder.mkdir(parents=True, exist_ok=True)
            lock = acquire(area.folder / "lock", wait=False)
        except NoLocks:
            return area, None
        except FileNotFoundError:  # the pull that was here has just ended, and its area with it
            continue
        except OSError as error:
            if error.errno not in _UNWRITABLE:
                raise
            hint = "name a folder that you may write to; one that is there is filled, and nothing is made beside it"
            message = f"can't be written: {(error.strerror or str(error)).lower()}"
            raise UsageError(message, subject=str(target), hint=hint) from None
        if lock is None:
            raise Refused("another pull is filling it", subject=str(target), hint="let it end, or name another folder")
        try:
            area.check_empty()
        except BaseException:
            (area.folder / "lock").unlink(missing_ok=True)
            with suppress(OSError):  # it stays if there is something in it to go on with
                area.folder.rmdir()
            os.close(lock)
            raise
        return area, lock
    raise UsageError("no folder can be made there", subject=str(target), hint="name another one")


def _taken(target: Path, names: Collection[str]) -> UsageError:
    shown = ", ".join(map(ascii, list(names)[:SHOWN_MAX])) + (" …" if len(names) > SHOWN_MAX else "")
    message = "exists and is not an empty folder" + (f": it holds {shown}" if names else "")
    return UsageError(message, subject=str(target), hint="name another one")
