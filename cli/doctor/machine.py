"""This machine: Python and its libraries, limits, folders with their locks and room."""

import os
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from modelcast.cli.doctor.checks import Check, Result, Unit

if TYPE_CHECKING:
    from modelcast.infra.settings import Settings

FILES_MIN, FILES_GOOD = 256, 4096
"""Open files: a region agent has about 60 connections and a few dozen files open, and more as regions and pods grow."""
ROOM_MIN_BYTES, ROOM_GOOD_BYTES = 64 * 1024**2, 1024**3
EXTRAS = {"faust-streaming": "region", "aiokafka": "region", "onnxruntime": "pod", "aiohttp": "pod"}


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder that something is written to.

    Attributes:
        setting: what names it.
        locked: whether workers lock files in it.
        limit_bytes: how much Modelcast may keep there; 0: it keeps nothing.
        role: whose folder it is; "": anyone's on this machine.
    """

    path: Path
    setting: str
    locked: bool = False
    limit_bytes: int = 0
    role: str = ""


@dataclass(frozen=True, slots=True)
class Room:
    """The room of the disk that a folder is on."""

    free_bytes: int
    total_bytes: int


class Machine(Protocol):
    """What is asked of the operating system."""

    def open_files(self) -> tuple[int, int]:
        """The limit of open files, soft and hard."""
        ...

    def lock(self, folder: Path) -> str:
        """Why no file can be made and locked there; "": it can."""
        ...

    def room(self, folder: Path) -> Room:
        """Raises ``OSError``."""
        ...


def units(settings: "Settings", role: str = "", machine: Machine | None = None) -> list[Unit]:
    """What is looked at on this machine, which is to fill ``role``, if that is known."""
    from modelcast.cli.delta_extra import deltas_installed
    from modelcast.infra.files import user_bases

    bases = user_bases() if deltas_installed() else None
    here = machine or ThisMachine()

    def look_at(folder: Folder) -> Unit:
        return Unit(f"folder {folder.path}", partial(check_folder, here, folder, role), seconds_max=10.0)

    limits = Unit("limits", lambda: [judge_open_files(*here.open_files())])
    return [Unit("python", _check_python), limits, *map(look_at, folders(settings, bases))]


def folders(settings: "Settings", bases: Path | None = None) -> list[Folder]:
    """The folders that the settings name, TMPDIR, and the one for bases of deltas.

    Args:
        settings: what is known here.
        bases: where these are kept unless the settings say so.
    """
    found = [Folder(Path(tempfile.gettempdir()), "TMPDIR")]
    for name, region in settings.regions.items():
        if region.cache_dir is not None:
            limit, role = region.cache_size_max_bytes, f"region {name}"
            found.append(Folder(region.cache_dir, f"regions.{name}.cache_dir", True, limit, role))
    if settings.daemon.data_dir is not None:
        found.append(Folder(settings.daemon.data_dir, "daemon.data_dir"))
    kept = settings.publish.base_cache_dir or bases
    if kept is not None and settings.publish.deltas and settings.publish.base_cache_size_max_bytes:
        limit = settings.publish.base_cache_size_max_bytes
        found.append(Folder(kept, "publish.base_cache_dir", True, limit, "publisher"))
    return found


def _check_python() -> Iterator[Check]:
    from importlib.metadata import PackageNotFoundError, version

    from modelcast.infra.settings import config_path

    found = ".".join(map(str, sys.version_info[:3]))
    new_enough = sys.version_info >= (3, 11)
    yield Check("python", Result.ok if new_enough else Result.error, found, "install Python 3.11 or newer")
    yield Check("settings", Result.ok, str(config_path() or "variables and defaults only"))
    for package, extra in EXTRAS.items():
        try:
            yield Check(f"python: {package}", Result.ok, version(package))
        except PackageNotFoundError:
            hint = f"pip install 'modelcast[{extra}]'"
            yield Check(f"python: {package}", Result.skipped, f"not installed; only {extra}s need it", hint)


def check_folder(machine: Machine, folder: Folder, role: str = "") -> Iterator[Check]:
    """Whether a folder can be used or, where it is not there yet, whether it can be made and used.

    What is wrong with a folder that is not there is an error where this machine is to fill its ``role``; else it may
    be one of another machine.
    """
    there = _nearest(folder.path)
    for check in (judge_lock(folder, machine.lock(there)), _room(machine, folder, there)):
        if there == folder.path.absolute():
            yield check
            continue
        result = check.result
        if result is Result.error and not (folder.role and folder.role == role):
            result = Result.warning
        detail = f"not there yet; in {there}: {check.detail}"
        hint = check.hint if not folder.role else f"{check.hint}; or leave it, if no {folder.role} runs here"
        yield Check(check.subject, result, detail, hint)


def _nearest(path: Path) -> Path:
    """The folder itself, or the nearest one around it that is there."""
    path = path.absolute()
    return next((each for each in (path, *path.parents) if os.path.exists(each)), path)  # noqa: PTH110  # never raises


def _room(machine: Machine, folder: Folder, there: Path) -> Check:
    try:
        return judge_room(folder, machine.room(there))
    except OSError as error:
        message = f"its disk can't be asked for its room: {error.strerror or error}"
        return Check(f"{folder.setting} {folder.path}: room", Result.warning, message, "mend its permissions")


def judge_open_files(soft: int, hard: int) -> Check:
    """Whether a daemon started like this may open enough files."""
    subject, detail = "open files (ulimit -n)", f"{soft} (at most {hard})"
    if soft >= FILES_GOOD or soft < 0:
        return Check(subject, Result.ok, detail)
    hint = f"`ulimit -n {FILES_GOOD * 16}` before a daemon starts, or LimitNOFILE= in its systemd unit"
    result = Result.error if soft < FILES_MIN else Result.warning
    return Check(subject, result, f"{detail}: a daemon with many pods and models needs {FILES_GOOD}", hint)


def judge_lock(folder: Folder, trouble: str) -> Check:
    """Whether files can be made, and locked where workers share them."""
    subject = f"{folder.setting} {folder.path}"
    if not trouble:
        return Check(subject, Result.ok, "can be written, and has locks" if folder.locked else "can be written")
    if "lock" in trouble and not folder.locked:
        return Check(subject, Result.ok, "can be written (it has no locks, and needs none)")
    hint = f"name a folder on a local disk in {folder.setting}, which this user may write to"
    return Check(subject, Result.error, trouble, hint)


def judge_room(folder: Folder, room: Room) -> Check:
    """Whether there is room for what is to come."""
    from modelcast.schemas.quantities import size

    subject = f"{folder.setting} {folder.path}: room"
    detail = f"{size(room.free_bytes)} free of {size(room.total_bytes)}"
    if room.free_bytes < ROOM_MIN_BYTES:
        return Check(subject, Result.error, f"{detail}: nothing can be written there", "make room")
    if folder.limit_bytes > room.total_bytes:
        limit = f"Modelcast may keep {size(folder.limit_bytes)} there, more than the disk holds"
        setting = folder.setting.replace("_dir", "_size_max_bytes")
        return Check(subject, Result.warning, f"{detail}; {limit}", f"set {setting} to what it may really take")
    if room.free_bytes < ROOM_GOOD_BYTES:
        return Check(subject, Result.warning, f"{detail}: a large model has no room", "make room, or name another disk")
    return Check(subject, Result.ok, detail)


class ThisMachine:
    """See ``Machine``."""

    def open_files(self) -> tuple[int, int]:
        """See ``Machine``."""
        import resource

        return resource.getrlimit(resource.RLIMIT_NOFILE)

    def lock(self, folder: Path) -> str:
        """See ``Machine``."""
        from modelcast.infra.files import held_if_free

        try:
            with tempfile.NamedTemporaryFile(dir=folder, prefix=".doctor-") as file:
                try:
                    with held_if_free(Path(file.name)) as held:
                        return "" if held else "a lock on a new file is held by another process"
                except OSError as error:
                    return f"the file system has no locks (flock): {error.strerror or error}"
        except OSError as error:
            return f"no file can be made there: {error.strerror or error}"

    def room(self, folder: Path) -> Room:
        """See ``Machine``."""
        import shutil

        usage = shutil.disk_usage(folder)
        return Room(usage.free, usage.total)
