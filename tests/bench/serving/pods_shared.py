"""What the peers of ``pods`` share: the model's name, versions whose weights lie on the disk once, processes."""

import os
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import aiohttp
import psutil

from modelcast.consumers.artifacts.verified import SETTLED_NS, note_verified
from modelcast.consumers.pod_clients.port import LoadOrder
from modelcast.schemas.manifest import FileEntry, Manifest
from tests.consumers.pod.models import REGISTRY, Artifact

MODEL = "table"
_STAGE = re.compile(r'^modelcast_pod_load_seconds_sum\{stage="(\w+)"\} (\S+)$', re.MULTILINE)
_LOADS = re.compile(r'^modelcast_pod_load_seconds_count\{stage="total"\} (\S+)$', re.MULTILINE)


@dataclass(frozen=True)
class Large:
    """A file that was written and hashed once; the folders of all versions and servers hold hard links to it."""

    path: Path
    entry: FileEntry

    @classmethod
    def written(cls, path: Path, body: bytes, name: str) -> "Large":
        """``name``: what it is called in an artifact."""
        path.write_bytes(body)
        return cls(path, Artifact({name: body}).manifest.files[0])


Files = Mapping[str, bytes | Large]
"""A version's files by path."""


def lay(folder: Path, files: Files) -> None:
    """Put files into a folder that is made."""
    for name, body in files.items():
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(body, Large):
            os.link(body.path, place)
        else:
            place.write_bytes(body)


def orders_in(cache: Path, versions: Mapping[int, Files]) -> dict[int, LoadOrder]:
    """The orders to serve versions that are laid into a cache, all before anything is asked. Blocking.

    It is noted that they were hashed, as a fetch does. All links are made first: a link changes the file's times.
    """
    orders, laid = {}, []
    for version, files in versions.items():
        manifest = Manifest(tuple(_entry(path, body) for path, body in sorted(files.items())))
        folder = cache / manifest.digest[7:]
        lay(folder / "files", files)
        (folder / "manifest.json").write_bytes(manifest.encode())
        laid.append((folder, manifest))
        orders[version] = LoadOrder(MODEL, version, manifest.digest, version, 1, REGISTRY, reload=True)
    time.sleep(2 * SETTLED_NS / 1e9)
    for folder, manifest in laid:
        note_verified(folder / "files", manifest, folder / "verified.json")
    return orders


def _entry(path: str, body: bytes | Large) -> FileEntry:
    return body.entry if isinstance(body, Large) else _entry_of(path, body)


@lru_cache(maxsize=16)
def _entry_of(path: str, body: bytes) -> FileEntry:
    return Artifact({path: body}).manifest.files[0]


def process_tree(pid: int) -> list[int]:
    """A process and all below it."""
    return [pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))]


async def load_stages(url: str) -> dict[str, float]:
    """The seconds that all loads of a pod or companion have taken so far, by stage, and their number, ``loads``."""
    async with aiohttp.ClientSession() as http, http.get(f"{url}/metrics") as response:
        text = await response.text()
    found = dict(_STAGE.findall(text))
    return {**{stage: float(seconds) for stage, seconds in found.items()}, "loads": float(_LOADS.findall(text)[0])}
