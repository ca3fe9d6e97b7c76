"""Files into a server's model repository: whole folders by one rename, never links into the cache.

Servers write into their repository (Triton's ``__pycache__``), and may read it at any instant: what lies there is
ours to copy and theirs to change, and nothing half-copied ever has a name that they look at.
"""

import asyncio
import os
import re
import secrets
import shutil
import threading
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import orjson
import structlog

from modelcast.consumers.companion.layouts.version_layout import VersionLayout, folder_of
from modelcast.infra.files import acquire, exchange, share_blocks, sync, written_aside
from modelcast.schemas.errors import ModelcastError, Refused

STAGING = ".modelcast"
VERSION_NUMBER = re.compile(r"[0-9]{1,18}")
"""A version, as its folder is named; what is longer, or says something else, is none of ours."""
_REPLACED = "replaced-"
_PLACED, _LOADED = ".placing-", ".placed-"  # of a version: what was placed, and what the server has loaded since
_COPY_BYTES = 8 * 1024 * 1024


log = structlog.get_logger(__name__)


class Cancelled(ModelcastError):
    """A newer order stopped the copying."""


class ModelRepository:
    """A server's model repository. One companion at a time may place files in it. Blocking; use ``close`` at the end.

    Raises:
        Refused: another companion holds it.
        OSError: it can't be written.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._staging = root / STAGING
        self._staging.mkdir(parents=True, exist_ok=True)
        lock = acquire(self._staging / "lock", wait=False)
        if lock is None:
            raise Refused(
                "another companion places files in this model repository", subject=str(root), hint="run one a server"
            )
        self._lock = lock
        self._restore()
        for leftover in self._staging.iterdir():  # of a companion that was killed in the middle
            if leftover.is_dir():
                shutil.rmtree(leftover, ignore_errors=True)

    def place(
        self, model: str, layout: VersionLayout, artifact: Path, cancel: threading.Event, *, durable: bool = True
    ) -> Path:
        """Copy a version's files into ``<model>/<folder>``, whole or not at all; the folder.

        What lay there under that name before is replaced. ``durable``: also if the machine loses power; it waits for
        the disk, and is needed where a server that starts reads what lies there.

        Raises:
            Cancelled: ``cancel`` was set.
            OSError: the disk is full, or the repository can't be written.
        """
        aside = self._staging / f"{model}-{layout.folder}-{secrets.token_hex(4)}"
        try:
            for place in layout.places:
                if cancel.is_set():
                    raise Cancelled("a newer order arrived", subject=model)
                target = aside / place.path
                target.parent.mkdir(parents=True, exist_ok=True)
                _copy(artifact / place.source, target, cancel, durable=durable)
            aside.mkdir(parents=True, exist_ok=True)
            stamps = {place.path: _stamp(aside / place.path) for place in layout.places}
            final = self.root / model / layout.folder
            final.parent.mkdir(parents=True, exist_ok=True)
            with written_aside(final.parent / f"{_PLACED}{layout.folder}", durable=durable) as file:
                file.write(orjson.dumps(stamps))
            replaced = self._replace(final, aside)
            if durable:
                sync(final.parent)
        except BaseException:
            shutil.rmtree(aside, ignore_errors=True)
            raise
        shutil.rmtree(replaced, ignore_errors=True)
        return final

    def untouched(self, model: str, folder: str) -> bool:
        """Whether a version's files are still those that the server has loaded, by inode, size and time of change.

        A server that starts from its disk names what it found there by our name for it. Of a version that was never
        placed here nothing is known, and nothing is doubted: it is none that was ordered.
        """
        try:
            noted = (self.root / model / f"{_LOADED}{folder}").read_bytes()
        except FileNotFoundError:
            return not (self.root / model / f"{_PLACED}{folder}").exists()
        except OSError:
            return False
        try:
            stamps = orjson.loads(noted)
            return all(_stamp(self.root / model / folder / path) == stamp for path, stamp in stamps.items())
        except (OSError, orjson.JSONDecodeError):
            return False

    def loaded(self, model: str, folder: str) -> None:
        """The server has loaded what was placed last. Until then its memory holds what it had before."""
        with suppress(FileNotFoundError):
            (self.root / model / f"{_PLACED}{folder}").replace(self.root / model / f"{_LOADED}{folder}")

    def write(self, model: str, name: str, content: bytes | None) -> None:
        """Replace ``<model>/<name>`` by one rename, durably; None removes it."""
        path = self.root / model / name
        if content is None:
            path.unlink(missing_ok=True)
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        with written_aside(path) as file:
            file.write(content)

    def read(self, model: str, name: str) -> bytes | None:
        """``<model>/<name>``, or None."""
        try:
            return (self.root / model / name).read_bytes()
        except FileNotFoundError:
            return None

    def point(self, model: str, name: str, folder: str) -> None:
        """Make the symbolic link ``<model>/<name>`` lead to ``folder``, as seen from beside it, by one rename."""
        aside = self._staging / f"link-{secrets.token_hex(4)}"
        (self.root / model).mkdir(exist_ok=True)
        aside.symlink_to(folder)
        aside.replace(self.root / model / name)
        sync(self.root / model)

    def mark(self, suffix: str) -> str:
        """Make an empty folder that no other has the name of; that name, which ends in ``suffix``."""
        name = f"seen-{secrets.token_hex(8)}{suffix}"
        (self.root / name).mkdir()
        return name

    def models(self, suffix: str) -> list[str]:
        """The models whose name ends so."""
        return [folder.name for folder in self.root.iterdir() if folder.name.endswith(suffix)]

    def discard(self, model: str) -> None:
        """Remove a model's whole folder. Failing leaves it."""
        with suppress(OSError):
            if aside := self._set_aside(self.root / model):
                shutil.rmtree(aside, ignore_errors=True)

    def prune(self, model: str, keep: Iterable[str]) -> None:
        """Remove the model's numeric folders but those of ``keep``. Failing leaves them for the next time."""
        kept = set(keep)
        with suppress(OSError):
            for folder in (self.root / model).iterdir():
                if folder.name.isdecimal() and folder.name not in kept and (aside := self._set_aside(folder)):
                    shutil.rmtree(aside, ignore_errors=True)
                    for noted in (_PLACED, _LOADED):
                        (self.root / model / f"{noted}{folder.name}").unlink(missing_ok=True)

    def close(self) -> None:
        """Let another companion have it."""
        os.close(self._lock)

    def _replace(self, final: Path, new: Path) -> Path:
        """Give a new folder its name, in one step where the system can; where what had that name lies now."""
        if final.exists() and exchange(new, final):
            return new
        replaced = self._staging / f"{_REPLACED}{secrets.token_hex(4)}"
        if final.exists():
            old = replaced / final.relative_to(self.root)
            old.parent.mkdir(parents=True)
            final.rename(old)  # killed from here on, ``_restore`` brings it back
        try:
            new.rename(final)
        except OSError:
            self._restore()
            raise
        return replaced

    def _restore(self) -> None:
        """Bring back what a companion had set aside, and then was killed before the new folder had its name."""
        for replaced in self._staging.glob(f"{_REPLACED}*"):
            for old in replaced.glob("*/*"):
                final = self.root / old.relative_to(replaced)
                if not final.exists():
                    final.parent.mkdir(exist_ok=True)
                    old.rename(final)

    def _set_aside(self, folder: Path) -> Path | None:
        aside = self._staging / f"old-{secrets.token_hex(4)}"
        try:
            folder.rename(aside)
        except FileNotFoundError:
            return None
        return aside


def _stamp(path: Path) -> list[int]:
    found = path.stat()
    return [found.st_ino, found.st_size, found.st_mtime_ns]


async def as_placed(repository: ModelRepository, model: str, version: int) -> bool:
    """``untouched``, with a word in the log: then the version is placed and loaded anew."""
    if await asyncio.to_thread(repository.untouched, model, folder_of(version)):
        return True
    where = repository.root / model / folder_of(version)
    log.error("the files of what serves are not those that were placed", model=model, folder=str(where))
    return False


def settings_bytes(settings: Mapping[str, Any]) -> bytes:
    """A layout's settings as a JSON file."""
    return orjson.dumps(dict(settings), option=orjson.OPT_INDENT_2)


def _copy(source: Path, target: Path, cancel: threading.Event, *, durable: bool) -> None:
    """Share the blocks where the file system can, else copy."""
    with source.open("rb") as read, target.open("wb") as write:
        if not share_blocks(read, write):
            while chunk := read.read(_COPY_BYTES):
                if cancel.is_set():
                    raise Cancelled("a newer order arrived", subject=str(target))
                write.write(chunk)
        write.flush()
        if durable:
            os.fsync(write.fileno())
