"""A fleet's pods in a file that others replace: JSON or TOML."""

import asyncio
import json
import tomllib
from pathlib import Path
from typing import Any

from modelcast.consumers.discovery.port import DiscoveryFailed, PodAddress, checked_zone
from modelcast.infra.urls import check_url, host_and_path

LOOK_SECONDS = 1.0
SIZE_MAX = 16 * 1024 * 1024
_HINT = 'write ["http://pod:8080", …] or [{"name": …, "url": …}, …]; in TOML below `pods =`'

FileStamp = tuple[int, int, int] | None
"""Of a file: inode, time of change, size; None: there is none."""


class FileSource:
    """A ``PodSource`` that reads the file whenever it is another one. Replace it by a rename: then it is always whole.

    Args:
        path: it ends in ``.json`` or ``.toml``.
        every_seconds: how often it is looked whether the file has changed.
    """

    def __init__(self, path: Path, every_seconds: float = LOOK_SECONDS) -> None:
        self._path = path
        self._every = every_seconds
        self._seen: FileStamp = None

    async def look(self) -> tuple[PodAddress, ...]:
        """See ``PodSource.look``."""
        return await asyncio.to_thread(self._read)

    async def news(self) -> tuple[PodAddress, ...] | None:
        """See ``PodSource.news``."""
        while True:
            await asyncio.sleep(self._every)
            if await asyncio.to_thread(self._stamp) != self._seen:
                return None

    async def aclose(self) -> None:
        """See ``PodSource.aclose``."""

    def _stamp(self) -> FileStamp:
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns, found.st_size

    def _read(self) -> tuple[PodAddress, ...]:
        self._seen = self._stamp()
        try:
            with self._path.open("rb") as file:
                text = file.read(SIZE_MAX + 1)
        except OSError as error:
            raise DiscoveryFailed(error.strerror or str(error), subject=str(self._path)) from None
        if len(text) > SIZE_MAX:
            raise DiscoveryFailed(f"larger than {SIZE_MAX} bytes", subject=str(self._path))
        try:
            return pods_in(text.decode(), toml=self._path.suffix == ".toml")
        except ValueError as error:  # not UTF-8, not JSON, not TOML, or not pods
            raise DiscoveryFailed(f"is no list of pods: {error}", subject=str(self._path), hint=_HINT) from None
        except RecursionError:
            raise DiscoveryFailed("is no list of pods: nested too deep", subject=str(self._path)) from None


def pods_in(text: str, *, toml: bool) -> tuple[PodAddress, ...]:
    """The pods that a file lists.

    Raises:
        ValueError: it is malformed, a URL makes no sense, or a pod stands there twice.
    """
    listed = tomllib.loads(text) if toml else json.loads(text)
    if isinstance(listed, dict):
        if unknown := sorted(listed.keys() - {"pods"}):
            raise ValueError(f"unknown: {', '.join(map(str, unknown))}")
        listed = listed.get("pods")
    if not isinstance(listed, list):
        raise ValueError("there is no list `pods`")
    found = [_pod(each) for each in listed]
    for what, values in (("name", [e.name for e in found]), ("url", [e.url for e in found])):
        if twice := sorted({value for value in values if values.count(value) > 1}):
            raise ValueError(f"the same {what} twice: {', '.join(twice)}")
    return tuple(found)


def _pod(listed: Any) -> PodAddress:
    fields = {"url": listed} if isinstance(listed, str) else listed
    if not isinstance(fields, dict) or not isinstance(fields.get("url"), str):
        raise ValueError(f"{listed!r} is neither a URL nor a table with one")
    if unknown := sorted(fields.keys() - {"name", "url", "zone"}):
        raise ValueError(f"unknown: {', '.join(map(str, unknown))}")
    url = fields["url"].rstrip("/")
    try:
        check_url(url, ("http", "https"))
    except ValueError as error:
        raise ValueError(f"{url!r}: {error}") from None
    name = fields.get("name", host_and_path(url))
    if not isinstance(name, str) or not name or not name.isprintable():
        raise ValueError(f"{name!r} is no name")
    return PodAddress(name, url, zone=checked_zone(fields.get("zone", "")))
