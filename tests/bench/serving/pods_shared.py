"""What the peers of ``pods`` share: the model's name, artifacts made once, the processes of a server."""

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

import psutil

from tests.consumers.pod.models import Artifact

MODEL = "table"


def artifact_in(files: Mapping[str, bytes], cache: Path) -> Artifact:
    """The artifact of ``files``, laid into a cache once."""
    artifact = _artifact(tuple(files.items()))
    if not (cache / artifact.digest[7:]).exists():
        artifact.put(cache)
    return artifact


@lru_cache(maxsize=4)
def _artifact(files: tuple[tuple[str, bytes], ...]) -> Artifact:
    return Artifact(dict(files))


def process_tree(pid: int) -> list[int]:
    """A process and all below it."""
    return [pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))]
