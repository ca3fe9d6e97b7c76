"""A verified copy of an artifact for a person."""

from contextlib import suppress
from pathlib import Path

from modelcast.consumers.fetch.cache.artifact_cache import ArtifactCache
from modelcast.consumers.fetch.context import End
from modelcast.consumers.fetch.errors import DiskFull
from modelcast.consumers.fetch.job.fetcher import Fetcher, FetchReport
from modelcast.consumers.fetch.job.work_area import work_area
from modelcast.consumers.fetch.transfer.link import Link
from modelcast.schemas.errors import VerificationFailed
from modelcast.schemas.ports import ObjectStore, Progress


def pull(
    store: ObjectStore,
    manifest_digest: str,
    folder: Path,
    *,
    manifest_key: str = "",
    on_progress: Progress | None = None,
    cancel: End | None = None,
) -> FetchReport:
    """Fetch an artifact's files from ``store`` into ``folder``, all or nothing; interrupted, it resumes when run again.

    Args:
        folder: made if it is not there. One that is there (a mounted volume, say) is filled, and nothing is made
            beside it. Files with the same bytes are files of their own.

    Raises:
        UsageError: ``folder`` exists and is not an empty folder, or can't be written.
        Refused: another pull is filling it.
        ModelcastError: as ``Fetcher.fetch``.
    """
    with work_area(folder) as area:
        cache = ArtifactCache(area.folder, alone=True)
        if cache.has(manifest_digest):  # brought by a pull that was interrupted, who knows when: it is looked at again
            with suppress(VerificationFailed), cache.open(manifest_digest):
                pass
        fetcher = Fetcher(store, None, cache, Link())
        try:
            report = fetcher.fetch(manifest_digest, manifest_key, on_progress=on_progress, cancel=cancel)
        except DiskFull as error:
            hint = "free disk space there and run it again, or name a folder on a larger disk"
            raise DiskFull(error.message, subject=str(folder), hint=hint) from error
        with cache.open(manifest_digest, verify=False) as files:
            area.fill(files)
    return report
