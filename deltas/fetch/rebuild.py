"""One file made from deltas, while they arrive. What is made is believed only because it is what the manifest says.

The file grows in its own place, block by block: what an interruption leaves there counts for the next attempt, like
what a download leaves.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from modelcast.consumers.fetch import (
    BlockHashes,
    Context,
    DamagedBytes,
    Destination,
    FetchCancelled,
    Source,
    Step,
    here_bytes,
)
from modelcast.deltas import codec
from modelcast.deltas.fetch.arrivals import Arrival, arriving
from modelcast.deltas.fetch.codec_speeds import CodecSpeeds
from modelcast.deltas.fetch.planning.paths import Offer, Option
from modelcast.schemas import keys
from modelcast.schemas.digests import hex_of
from modelcast.schemas.errors import TransportError
from modelcast.schemas.manifest import FileEntry


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
        held: where the files on this machine lie, by digest; they may vanish.
        base_sizes: sizes in bytes of the bases in the regional bucket.
        speeds: gets how long it took.
        threads: of the codec; None: all cores.
    """

    def __init__(
        self, held: Mapping[str, Path], base_sizes: Mapping[str, int], speeds: CodecSpeeds, threads: int | None = None
    ) -> None:
        self._held = held
        self._base_sizes = base_sizes
        self._speeds = speeds
        self._threads = threads
        self._turn = threading.Lock()
        self._bases = threading.Lock()

    def make(self, step: Step, option: Option, destination: Destination, context: Context) -> None:
        """Have the file in its place, verified whole and block by block.

        Raises:
            WayFailed: not by this way. Blocks in its place may be right, and may be wrong.
            FetchCancelled: the caller no longer wants it.
        """
        destination.aside.mkdir(exist_ok=True)
        paths = [path_of(destination.aside, offer) for offer in option.offers]
        try:
            base = self._base(option, destination)
            with arriving(destination, option.offers, paths) as arrivals, self._turn:
                context.check()
                self._apply(step, base, arrivals, destination, context)
        except WayFailed as failure:
            if failure.offer is not None and failure.lasting:  # a better one may come to lie under its name
                path_of(destination.aside, failure.offer).unlink(missing_ok=True)
            raise
        for path in paths:
            path.unlink(missing_ok=True)

    def _base(self, option: Option, destination: Destination) -> Path | None:
        if not option.base:
            return None
        if not option.base_in_region:
            held = self._held.get(option.base)
            if held is None or not held.exists():
                raise WayFailed(None, FileNotFoundError("its base was evicted meanwhile"), lasting=False)
            return held
        path = destination.aside / f"{hex_of(option.base)}.base"
        size_bytes = self._base_sizes[option.base]
        with _blaming(None), self._bases:  # several files may be made of one: it comes once, and stays
            destination.bring(keys.blob(option.base), path, size_bytes, source=Source.REGION)
        return path

    def _apply(
        self,
        step: Step,
        base: Path | None,
        arrivals: Sequence[Arrival],
        destination: Destination,
        context: Context,
    ) -> None:
        current, file = base, step.file
        for arrival in arrivals:
            last = arrival is arrivals[-1]
            made = destination.path(step) if last else destination.aside / f"{hex_of(arrival.offer.new)}.made"
            size_max = file.size_bytes if last else self._size_max(file, current)
            with _blaming(arrival.offer):
                context.check()
                checked = _Checked(file, destination) if last else None
                seconds = self._hop(arrival, current, made, size_max, checked)
                self._speeds.rebuilt(made.stat().st_size, seconds, has_base=arrival.offer.old is not None)
            if current is not None and current != base:
                current.unlink(missing_ok=True)
            current = made

    def _hop(self, arrival: Arrival, base: Path | None, made: Path, size_max: int, checked: "_Checked | None") -> float:
        """Apply one delta as it arrives; the seconds of work that it took."""

        def apply(ready: Callable[[int], None]) -> float:
            if checked:
                checked.begin()
            seconds = codec.apply_arriving(
                base,
                arrival.path,
                made,
                expected_digest=arrival.offer.new,
                size_bytes_max=size_max,
                ready=ready,
                on_final=checked,
                threads=self._threads,
            )
            if checked:
                checked.end()
            return seconds

        try:
            return apply(arrival.prefix.wait_for_bytes)
        except Exception as error:
            if base is not None and not base.exists():
                raise WayFailed(None, error, lasting=False) from error  # evicted meanwhile
            if not arrival.prefix.is_over:
                raise
            arrival.join()  # what ended it says why; if nothing did, it began anew and is whole now
            return apply(_is_there)

    @staticmethod
    def _size_max(file: FileEntry, before: Path | None) -> int:
        """What a file that a chain only passes through may have: versions of a file do not grow out of all bounds."""
        return 2 * max(file.size_bytes, before.stat().st_size if before else 0) + (1 << 20)


def path_of(aside: Path, offer: Offer) -> Path:
    """Where a delta arrives."""
    return aside / offer.key.rpartition("/")[2]


def here_bytes_of(aside: Path, offer: Offer) -> int:
    """What an interrupted attempt left of a delta."""
    return here_bytes(path_of(aside, offer), offer.size_bytes)


class _Checked:
    """Compares a file's bytes with the manifest's blocks as they become final."""

    def __init__(self, file: FileEntry, destination: Destination) -> None:
        self._file = file
        self._destination = destination
        self.begin()

    def begin(self) -> None:
        """From the first byte."""
        self._hashes = BlockHashes(self._file.size_bytes)

    def __call__(self, chunk: memoryview) -> None:
        for number, digest in self._hashes.update(chunk):
            if self._file.blocks[number] != digest:
                raise self._wrong()
            self._destination.block_came(self._file.digest, number)

    def end(self) -> None:
        if self._hashes.position != self._file.size_bytes:
            raise self._wrong()

    def _wrong(self) -> DamagedBytes:
        return DamagedBytes(self._file.path, expected=self._file.digest, got="other blocks", store="the manifest")


def _is_there(_: int) -> None:
    pass


class _blaming:  # noqa: N801 - reads as a verb
    """Turns what goes wrong inside into ``WayFailed``."""

    def __init__(self, offer: Offer | None) -> None:
        self._offer = offer

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if not isinstance(error, Exception) or isinstance(error, FetchCancelled | WayFailed):
            return
        # A full disk or a broken link says nothing about the delta; whatever else it made of us is its own fault.
        lasting = not isinstance(error, (TransportError, OSError, MemoryError))
        raise WayFailed(self._offer, error, lasting=lasting) from error
