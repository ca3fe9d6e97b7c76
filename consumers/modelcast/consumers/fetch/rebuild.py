"""One file made from deltas. What is made is believed only because it is what the manifest says."""

import os
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from modelcast.consumers.fetch.errors import DamagedBytes, FetchCancelled
from modelcast.consumers.fetch.gauge import Gauge
from modelcast.consumers.fetch.incoming import Incoming
from modelcast.consumers.fetch.plan import Way
from modelcast.consumers.fetch.retry import check
from modelcast.consumers.fetch.ways import Offer, Option
from modelcast.schemas import keys
from modelcast.schemas.digests import hex_of
from modelcast.schemas.errors import TransportError
from modelcast.schemas.manifest import FileEntry

ASIDE = "aside"
"""The folder beside an incoming artifact's files where deltas arrive and files are made; gone when it is published."""


class Objects(Protocol):
    """Brings objects that nobody can check in advance (``Download``)."""

    def object(self, key: str, path: Path, size_bytes: int, *, way: Way = Way.ORIGIN) -> None:
        """Bring the object at ``key`` to ``path``, going on from what an interruption left there."""
        ...


class WayFailed(Exception):
    """This way does not lead to the file.

    Attributes:
        offer: what is to blame; None: its base.
        lasting: it will not lead there another time either.
    """

    def __init__(self, offer: Offer | None, cause: Exception, *, lasting: bool) -> None:
        super().__init__(str(cause))
        self.offer = offer
        self.cause = cause
        self.lasting = lasting


class Rebuilder:
    """Makes files of one artifact. Thread-safe; files are made one at a time, and others' deltas arrive meanwhile.

    Args:
        incoming: where the artifact is put together.
        objects: brings deltas, and bases that only the regional bucket has.
        held: where the files on this machine lie, by digest; they may vanish.
        base_sizes: sizes in bytes of the bases in the regional bucket.
        gauge: told how long it took.
        cancelled: asked between the steps.
        threads: of the codec; None: all cores.
    """

    def __init__(
        self,
        incoming: Incoming,
        objects: Objects,
        held: Mapping[str, Path],
        base_sizes: Mapping[str, int],
        *,
        gauge: Gauge,
        cancelled: Callable[[], bool],
        threads: int | None = None,
    ) -> None:
        self._incoming = incoming
        self._objects = objects
        self._held = held
        self._base_sizes = base_sizes
        self._gauge = gauge
        self._cancelled = cancelled
        self._threads = threads
        self._turn = threading.Lock()
        self._folder = incoming.folder / ASIDE
        self._folder.mkdir(exist_ok=True)

    def make(self, file: FileEntry, option: Option, *, replace: bool) -> None:
        """Have ``file`` in its place, verified whole and block by block.

        Args:
            replace: nothing of what stands in its place is worth keeping: its disk space is used for the new one.

        Raises:
            WayFailed: not by this way.
            FetchCancelled: the caller no longer wants it.
        """
        try:
            base = self._base(option)
            deltas = [self._bring(offer) for offer in option.offers]
            with self._turn:
                check(self._cancelled)
                self._apply(file, option, base, deltas, replace=replace)
        except WayFailed as failure:
            if failure.offer is not None and failure.lasting:
                self._path(failure.offer).unlink(missing_ok=True)  # a better one may come to lie under its name
            raise
        for path in deltas:
            path.unlink(missing_ok=True)

    def _base(self, option: Option) -> Path | None:
        if not option.base:
            return None
        if not option.base_in_region:
            held = self._held.get(option.base)
            if held is None or not held.exists():
                raise WayFailed(None, FileNotFoundError("its base was evicted meanwhile"), lasting=False)
            return held
        path = self._folder / f"{hex_of(option.base)}.base"
        size_bytes = self._base_sizes[option.base]
        with _blaming(None):
            self._objects.object(keys.blob(option.base), path, size_bytes, way=Way.REGION)
        return path

    def _bring(self, offer: Offer) -> Path:
        path = self._path(offer)
        moved_bytes = 0
        with _blaming(offer), self._gauge.over_the_link(lambda: moved_bytes):
            self._objects.object(offer.key, path, offer.size_bytes)
            moved_bytes = offer.size_bytes
        return path

    def _path(self, offer: Offer) -> Path:
        return self._folder / offer.key.rpartition("/")[2]

    def _apply(self, file: FileEntry, option: Option, base: Path | None, deltas: list[Path], *, replace: bool) -> None:
        from modelcast.infra import delta

        place, current = self._incoming.path(file), base
        if replace:
            with suppress(FileNotFoundError):
                os.truncate(place, 0)
        for number, (offer, path) in enumerate(zip(option.offers, deltas, strict=True)):
            last = number == len(deltas) - 1
            made = self._folder / f"{hex_of(offer.new)}.made"
            with _blaming(offer):
                check(self._cancelled)
                started = time.perf_counter()
                delta.apply(
                    current,
                    path,
                    made,
                    expected_digest=offer.new,
                    size_bytes_max=file.size_bytes if last else self._size_max(file, current),
                    threads=self._threads,
                    durable=False,  # all files are synced together; what a crash leaves is checked block by block
                )
                seconds = time.perf_counter() - started
                self._gauge.rebuilt(made.stat().st_size, seconds, has_base=offer.old is not None)
            if current is not None and current.parent == self._folder:
                current.unlink(missing_ok=True)
            current = made
        assert current is not None
        with _blaming(option.offers[-1]):
            current.replace(place)
            wrong = self._incoming.missing_blocks(file)
            if wrong:
                raise DamagedBytes(file.path, expected=file.digest, got="other blocks", store="the manifest")

    @staticmethod
    def _size_max(file: FileEntry, before: Path | None) -> int:
        """What a file that a chain only passes through may have: versions of a file do not grow out of all bounds."""
        return 2 * max(file.size_bytes, before.stat().st_size if before else 0) + (1 << 20)


class _blaming:  # noqa: N801 - reads as a verb
    """Turns what goes wrong inside into ``WayFailed``."""

    def __init__(self, offer: Offer | None) -> None:
        self._offer = offer

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if error is None or isinstance(error, FetchCancelled) or not isinstance(error, Exception):
            return
        # A full disk or a broken link says nothing about the delta; whatever else it made of us is its own fault.
        lasting = not isinstance(error, (TransportError, OSError, MemoryError))
        raise WayFailed(self._offer, error, lasting=lasting) from error
