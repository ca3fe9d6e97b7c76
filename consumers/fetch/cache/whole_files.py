"""The last look at files that are all there."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from modelcast.consumers.fetch.cache.incoming import Incoming, digest_of
from modelcast.consumers.fetch.context import Context
from modelcast.consumers.fetch.errors import DamagedBytes
from modelcast.consumers.fetch.planning.steps import Step
from modelcast.schemas.digests import sha256_of
from modelcast.schemas.manifest import FileEntry

_EMPTY = sha256_of(b"").removeprefix("sha256:")


def check_digests(files: Iterable[tuple[FileEntry, Path]], store: str, context: Context) -> None:
    """Compare the digests of whole files. All blocks being right, only a manifest that lies fails here.

    Args:
        store: who gave them, for messages.

    Raises:
        DamagedBytes: one has another digest.
        FetchCancelled: nobody wants them any more.
    """
    for file, path in files:
        context.check()
        # A file of one block: its digest is its block's.
        got = digest_of(path) if len(file.blocks) > 1 else "sha256:" + (file.blocks or (_EMPTY,))[0]
        if got != file.digest:
            raise DamagedBytes(file.path, expected=file.digest, got=got, store=store)


def link_twins(incoming: Incoming, steps: Iterable[Step]) -> None:
    """Files with the same bytes are one on the disk.

    Raises:
        DamagedBytes: they are not those bytes.
    """
    for step in steps:
        for path in step.also_at:
            twin = replace(step.file, path=path)
            if not incoming.link(incoming.path(step.file), twin):
                raise DamagedBytes(path, expected=twin.digest, got="other bytes", store=str(incoming.folder))
