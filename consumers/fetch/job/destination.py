"""Where the files of one fetch are put together: by its own transfers, and by an accelerator."""

from pathlib import Path

from modelcast.consumers.fetch.cache.incoming import Incoming
from modelcast.consumers.fetch.cache.resume_journal import ResumeJournal
from modelcast.consumers.fetch.planning.parts import Part
from modelcast.consumers.fetch.planning.steps import Source, Step
from modelcast.consumers.fetch.region.bucket import RegionalBucket
from modelcast.consumers.fetch.region.write_through import WriteThrough
from modelcast.consumers.fetch.transfer.download import Download
from modelcast.consumers.fetch.transfer.objects import here_bytes
from modelcast.consumers.fetch.transfer.throughput import Throughput
from modelcast.consumers.fetch.verified_prefix import VerifiedPrefix


class IncomingFiles:
    """The files of one fetch on their way (``PartFiles``).

    Args:
        incoming: where the artifact is put together.
        region: hears which of its files are damaged; None: there is none.
        write_through: gets blocks that are in their place; None: nothing does.
    """

    def __init__(
        self, incoming: Incoming, region: RegionalBucket | None = None, write_through: WriteThrough | None = None
    ) -> None:
        self._incoming, self._region, self._write_through = incoming, region, write_through

    def path(self, part: Part) -> Path:
        """Where the file is put together."""
        return self._incoming.path(part.step.file)

    def journal(self, part: Part) -> ResumeJournal | None:
        """Beside it."""
        return self._incoming.journal(part.step.file)

    def came(self, digest: str, block: int) -> None:
        """It may enter the region."""
        if self._write_through is not None:
            self._write_through.came(digest, block)

    def distrust(self, digest: str) -> None:
        """The region forgets the file."""
        if self._region is not None:
            self._region.distrust(digest)


class IncomingDestination:
    """A ``Destination``.

    Args:
        incoming: where the artifact is put together.
        download: brings what an accelerator asks for.
        write_through: gets blocks that are in their place.
        throughput: gets the measured throughput of the link.
    """

    def __init__(
        self, incoming: Incoming, download: Download, write_through: WriteThrough, throughput: Throughput
    ) -> None:
        self._incoming = incoming
        self._download = download
        self._write_through = write_through
        self._throughput = throughput

    @property
    def aside(self) -> Path:
        """What is needed on the way only."""
        return self._incoming.aside

    def path(self, step: Step) -> Path:
        """Where the file is put together."""
        return self._incoming.path(step.file)

    def block_came(self, digest: str, block: int) -> None:
        """A block of a file is in its place, and right."""
        self._write_through.came(digest, block)

    def bring(
        self, key: str, path: Path, size_bytes: int, *, source: Source, prefix: VerifiedPrefix | None = None
    ) -> None:
        """Bring an object; raises like ``Download.object``."""
        if source is Source.REGION:
            self._download.object(key, path, size_bytes, source=source, prefix=prefix)
            return
        left_bytes, moved_bytes = size_bytes - here_bytes(path, size_bytes), 0
        with self._throughput.over_the_link(lambda: moved_bytes):
            self._download.object(key, path, size_bytes, source=source, prefix=prefix)
            moved_bytes = left_bytes
