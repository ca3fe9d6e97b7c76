"""What the peers of ``pods`` share: the model's name, artifacts whose weights lie on the disk once, processes."""

import os
import time
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

import psutil

from modelcast.consumers.artifacts.verified import SETTLED_NS, note_verified
from modelcast.consumers.pod_clients.port import LoadOrder
from modelcast.schemas.manifest import FileEntry, Manifest
from tests.consumers.pod.models import REGISTRY, Artifact

MODEL = "table"


def order_in(cache: Path, files: Mapping[str, bytes], version: int) -> LoadOrder:
    """The order to serve ``files``, which are laid into a cache.

    Files that versions share are hashed and written once: while a server is measured, a version costs a small file.
    It is noted that they were hashed, as a fetch does.
    """
    entries = {path: _entry(path, body) for path, body in sorted(files.items())}
    manifest = Manifest(tuple(entries.values()))
    folder = cache / manifest.digest[7:]
    if not folder.exists():
        for path, entry in entries.items():
            place = folder / "files" / path
            place.parent.mkdir(parents=True, exist_ok=True)
            body = cache / f".{entry.digest[7:]}"
            if not body.exists():
                body.write_bytes(files[path])
            os.link(body, place)
        (folder / "manifest.json").write_bytes(manifest.encode())
        time.sleep(2 * SETTLED_NS / 1e9)
        note_verified(folder / "files", manifest, folder / "verified.json")
    return LoadOrder(MODEL, version, manifest.digest, version, 1, REGISTRY, reload=True)


@lru_cache(maxsize=16)
def _entry(path: str, body: bytes) -> FileEntry:
    return Artifact({path: body}).manifest.files[0]


def process_tree(pid: int) -> list[int]:
    """A process and all below it."""
    return [pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))]
