"""A verified copy of an artifact for a person."""

import shutil
from pathlib import Path
from typing import Literal

from modelcast.consumers.fetch.cache.artifact_cache import ArtifactCache
from modelcast.consumers.fetch.context import End
from modelcast.consumers.fetch.job.fetcher import Fetcher, FetchReport
from modelcast.consumers.fetch.transfer.disks import as_set
from modelcast.consumers.fetch.transfer.link import Link
from modelcast.schemas.digests import hex_of
from modelcast.schemas.errors import UsageError
from modelcast.schemas.ports import ObjectStore, Progress


def pull(
    store: ObjectStore,
    manifest_digest: str,
    folder: Path,
    *,
    manifest_key: str = "",
    on_progress: Progress | None = None,
    cancel: End | None = None,
    direct_writes: Literal["auto"] | bool = "auto",
) -> FetchReport:
    """Fetch an artifact's files from ``store`` into ``folder``, all or nothing; interrupted, it resumes when run again.

    Args:
        direct_writes: see ``RegionSettings``.

    Raises:
        UsageError: ``folder`` exists and is not an empty folder.
        ModelcastError: as ``Fetcher.fetch``.
    """
    folder = folder.absolute()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError("exists and is not an empty folder", subject=str(folder), hint="name another one")
    workshop = folder.parent / f".{folder.name}.pulling-{hex_of(manifest_digest)[:12]}"
    cache = ArtifactCache(workshop)
    report = Fetcher(store, None, cache, Link(direct_writes=as_set(direct_writes))).fetch(
        manifest_digest, manifest_key, on_progress=on_progress, cancel=cancel
    )
    with cache.open(manifest_digest, verify=False) as files:
        files.rename(folder)
    shutil.rmtree(workshop, ignore_errors=True)
    return report
