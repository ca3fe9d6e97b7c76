"""Files enter the regional bucket while they are still being put together.

Nothing rests on it: what did not enter this way, for whatever reason, is uploaded once everything is here
(``RegionalBucket.admit``), and goes on from the parts that lie there already. The bucket's own check of the whole
file's digest stands before every object, so that nothing wrong enters either.
"""

from collections.abc import Callable, Iterable, Mapping, Set
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from types import TracebackType
from typing import Self

import structlog

from modelcast.consumers.fetch.context import Context
from modelcast.consumers.fetch.region.bucket import UPLOADERS, RegionalBucket
from modelcast.consumers.fetch.verified_prefix import LOOK_SECONDS, VerifiedPrefix
from modelcast.infra.ablation import WRITE_THROUGH, without
from modelcast.schemas.errors import ModelcastError
from modelcast.schemas.manifest import FileEntry

SIZE_MIN_BYTES = 1024 * 1024
"""Smaller files enter together at the end: a thread each would cost more than it saves."""

log = structlog.get_logger(__name__)


class WriteThrough:
    """The uploads of one fetch. Inside a ``with`` block; what is not finished at its end is given up.

    Args:
        region: the regional bucket; None: there is none, and nothing is done.
    """

    def __init__(self, region: RegionalBucket | None) -> None:
        self._region = region
        self._prefixes: dict[str, VerifiedPrefix] = {}
        self._uploads: dict[str, Future[bool]] = {}
        self._pool = ThreadPoolExecutor(UPLOADERS, "ahead")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for prefix in self._prefixes.values():
            prefix.give_up()
        # A bucket that does not answer can't hold up a cancelled fetch: at most one more part is sent.
        self._pool.shutdown(wait=error is None, cancel_futures=True)

    def begin(
        self, files: Iterable[FileEntry], missing: Mapping[str, Set[int]], path_of: Callable[[FileEntry], Path]
    ) -> None:
        """Upload ``files``, which lack ``missing`` blocks (by digest), as they grow where ``path_of`` says."""
        region = self._region
        if region is None or without(WRITE_THROUGH):
            return
        for file in files:
            if file.size_bytes >= SIZE_MIN_BYTES and file.digest not in self._prefixes:
                self._prefixes[file.digest] = prefix = VerifiedPrefix(file.size_bytes, missing[file.digest])
                self._uploads[file.digest] = self._pool.submit(_upload, region, file, path_of(file), prefix)

    def came(self, digest: str, block: int) -> None:
        """A block of a file is there, and right."""
        prefix = self._prefixes.get(digest)
        if prefix is not None:
            prefix.came(block)

    def entered(self, context: Context) -> frozenset[str]:
        """Once all files are whole: the digests of those that are in the bucket now.

        Raises:
            FetchCancelled: it was no longer wanted while the last uploads were waited for.
        """
        for prefix in self._prefixes.values():  # blocks of a way that failed may be right, and were not reported
            prefix.begin(prefix.blocks)
        while wait(self._uploads.values(), LOOK_SECONDS).not_done:
            context.check()
        return frozenset(digest for digest, upload in self._uploads.items() if upload.result())


def _upload(region: RegionalBucket, file: FileEntry, path: Path, prefix: VerifiedPrefix) -> bool:
    try:
        region.upload(file, path, ready=prefix.wait_for_bytes)
    except ModelcastError as error:
        if not prefix.is_over:
            log.info("a file enters the region later", path=file.path, store=region.store.name, error=error)
        return False
    return True
