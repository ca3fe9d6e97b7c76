"""The deltas of one publication: looked into while its bytes are uploaded, made before the announcement or after.

Those that the announcement waits for are begun beside the upload: that keeps the link busy, this the processor.
"""

import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import chain
from pathlib import Path
from threading import Event, Lock

from modelcast.producers.artifact import Artifact
from modelcast.producers.deltas.choice import bases_of
from modelcast.producers.deltas.copies import Copies
from modelcast.producers.deltas.layouts import is_model, layouts_by_digest
from modelcast.producers.deltas.maker import Batch, Target
from modelcast.producers.deltas.making import Making
from modelcast.producers.deltas.offers import DeltaOffer, offered
from modelcast.producers.deltas.regions import held_by
from modelcast.producers.deltas.shop import DeltaShop
from modelcast.producers.deltas.timing import wait_for
from modelcast.producers.steps import Steps
from modelcast.schemas import keys
from modelcast.schemas.log import ModelLog
from modelcast.schemas.records import DeltaHint

PATIENCE, PATIENCE_SECONDS = 2.0, 2.0
"""How many times as long as was thought, and how much longer, an announcement waits for deltas once all else is up."""

_logger = logging.getLogger(__name__)


class DeltaRun:
    """Plans and makes the deltas of one artifact, and knows what became of it.

    Args:
        makes: False: this publication makes none, and its files are kept for those that come after it.
    """

    def __init__(self, shop: DeltaShop, model: str, artifact: Artifact, *, makes: bool = True) -> None:
        self._shop, self._model, self._artifact, self._makes = shop, model, artifact, makes
        self._target: Target | None = None
        self._batches: list[Batch] = []
        self._waited_for = 0  # of them, by the announcement
        self._first: Making | None = None
        self._rest: Making | None = None
        self._copies = Copies(shop.cache)
        self._stopped = Event()
        self._planning = Lock()
        self._failed: list[str] = []

    def plan(self, log: ModelLog, version: int) -> None:
        """Choose what to make for ``version``, and when; what the announcement waits for is begun.

        Never raises: without deltas, wholes travel.
        """
        with self._planning:
            if self._stopped.is_set():
                return
            try:
                self._plan(log, version)
                if self._waited_for and self._target is not None:
                    first = self._making(self._target, self._batches[: self._waited_for])
                    first.begin()
                    self._first = first
            except Exception as error:
                self._waited_for = 0
                self._failed.append(str(error) or type(error).__name__)
                _logger.warning("no deltas: %s", error, extra={"model": self._model, "version": version})

    @property
    def hints(self) -> tuple[DeltaHint, ...]:
        """What the announcement foretells: base version, and what a region that holds it would bring."""
        return tuple(DeltaHint(b.offer.base_version, b.offer.size_bytes) for b in self._batches)

    def finish_first(self, steps: Steps) -> None:
        """Return once what the announcement waits for, if anything, is made, or takes much longer than was thought."""
        if self._first is not None:
            self._first.show(steps)
            if not self._first.wait(PATIENCE * self._first.seconds + PATIENCE_SECONDS):
                _logger.info("announced before its deltas are made: they take long", extra={"model": self._model})

    def make_rest(self, steps: Steps) -> None:
        """Make everything else, and return once nothing is under way."""
        if self._first is not None and not self._first.wait(0):
            self._first.show(steps)
            self._first.wait()
        batches = self._batches[self._waited_for :]
        if self._target is not None and any(b.jobs for b in batches):
            self._rest = self._making(self._target, batches)
            self._rest.run(steps)

    def end(self) -> None:
        """Nobody waits for more of them: end what is under way. Once it returns, nobody reads the files."""
        self._stopped.set()
        with self._planning:
            first = self._first
        if first is not None:
            with suppress(Exception):  # of a watcher
                first.wait()

    def close(self) -> None:
        """End what is under way, and leave nothing but what was kept."""
        self.end()
        self._copies.close()

    def keep(self) -> None:
        """Keep the files as bases of later deltas. Never raises: without bases, those are missing."""
        if self._target is None:
            return
        try:
            self._shop.maker.keep(self._target, self._copies)
        except Exception as error:
            _logger.warning("its files are not kept as bases: %s", error, extra={"model": self._model})

    @property
    def offers(self) -> tuple[DeltaOffer, ...]:
        """What was made, by base version."""
        return offered([made for making in self._makings for made in making.made])

    @property
    def notes(self) -> tuple[str, ...]:
        """What people should know of it."""
        failed = [*self._failed, *chain.from_iterable(making.failed for making in self._makings)]
        if not failed:
            return ()
        return (f"{len(failed)} delta(s) not made, publish again to add them: {failed[0]}",)

    @property
    def _makings(self) -> list[Making]:
        return [making for making in (self._first, self._rest) if making is not None]

    # --------------------------------------------------------------------------------------------------------

    def _making(self, target: Target, batches: Sequence[Batch]) -> Making:
        return Making(self._shop.maker, target, batches, self._copies, self._stopped)

    def _plan(self, log: ModelLog, version: int) -> None:
        files = {f.entry.digest: f.path for f in self._artifact.files}
        if not self._makes:
            self._target = Target(self._model, version, self._artifact.digest, self._artifact.manifest, files, {})
            return
        links = self._shop.regions.links(self._model, log.registry_id)
        bases = bases_of(log, version, self._artifact.digest, self._shop.back, held_by(links))
        present = frozenset(info.key for info in self._shop.store.list(keys.delta_prefix(self._artifact.digest)))
        self._target = Target(
            model=self._model,
            version=version,
            manifest_digest=self._artifact.digest,
            manifest=self._artifact.manifest,
            files=files,
            layouts=layouts_by_digest(self._artifact.manifest, self._telling(files)),
            present=present,
        )
        self._batches = self._shop.maker.plan(log, self._target, bases)
        whole = max((b.whole_bytes for b in self._batches), default=0)
        self._waited_for = wait_for(whole, [b.offer for b in self._batches], links)

    def _telling(self, files: Mapping[str, Path]) -> dict[str, Path]:
        """Those of the files that get deltas, or tell where the tensors of others lie."""
        size_min = self._shop.maker.size_min_bytes
        entries = (f.entry for f in self._artifact.files)
        return {e.digest: files[e.digest] for e in entries if e.size_bytes >= size_min or is_model(e.path)}
