"""Files that come as wholes from this machine, and the last look at those that are all there."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from modelcast.consumers.fetch.cache.incoming import Incoming
from modelcast.consumers.fetch.context import Context
from modelcast.consumers.fetch.errors import DamagedBytes
from modelcast.consumers.fetch.planning.steps import Step
from modelcast.infra.files import sha256_of_file
from modelcast.schemas.digests import sha256_of
from modelcast.schemas.manifest import FileEntry

_EMPTY = sha256_of(b"").removeprefix("sha256:")


def check_digests(files: Iterable[tuple[FileEntry, Path]], store: str, context: Context) -> None:
    """Compare the digests of whole files. All blocks being right, only a manifest that lies fails here.

    Args:
        store: who gave them, for messages.

    Raises:
        DamagedBytes: one has another digest.
        FetchCancelled: they are not wanted any more.
    """
    for file, path in files:
        context.check()
        # A file of one block: its digest is its block's.
        got = sha256_of_file(path) if len(file.blocks) > 1 else "sha256:" + (file.blocks or (_EMPTY,))[0]
        if got != file.digest:
            raise DamagedBytes(file.path, expected=file.digest, got=got, store=store)


def take_over(incoming: Incoming, steps: Sequence[Step], here: Mapping[str, Path], context: Context) -> set[str]:
    """Take the files that other artifacts of this machine have.

    Args:
        here: where they lie, by digest.

    Returns:
        digests of those that are in their place now, and right.
    """
    context.meter.files_begin("checking what is here", len(steps))
    taken: set[str] = set()
    for step in steps:
        context.check()
        if incoming.link(here[step.file.digest], step.file):
            taken.add(step.file.digest)
        context.meter.file_done()
    return taken


def files_to_make(incoming: Incoming, steps: Iterable[Step]) -> list[FileEntry]:
    """The files of ``steps`` that take room on the disk: each once where they share it, else at each of their paths."""
    found = []
    for step in steps:
        found.append(step.file)
        if not incoming.shares:
            found += [replace(step.file, path=path) for path in step.also_at]
    return found


def link_twins(incoming: Incoming, steps: Iterable[Step]) -> None:
    """Put files with the same bytes at their other paths.

    Raises:
        DamagedBytes: they are not those bytes.
    """
    for step in steps:
        for path in step.also_at:
            twin = replace(step.file, path=path)
            if not incoming.link(incoming.path(step.file), twin):
                raise DamagedBytes(path, expected=twin.digest, got="other bytes", store=str(incoming.folder))
