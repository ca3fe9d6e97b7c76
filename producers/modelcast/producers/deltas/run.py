"""The deltas of one publication: looked into while its bytes are uploaded, made before the announcement or after.

Those that the announcement waits for are begun beside the upload: that keeps the link busy, this the processor.
"""

import logging
from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from threading import Event, Lock, Thread

from modelcast.producers.artifact import Artifact
from modelcast.producers.deltas.choice import bases_of
from modelcast.producers.deltas.layouts import is_model, layouts_by_digest
from modelcast.producers.deltas.maker import Batch, Target
from modelcast.producers.deltas.offers import DeltaMade, DeltaOffer, offered
from modelcast.producers.deltas.regions import held_by
from modelcast.producers.deltas.shop import DeltaShop
from modelcast.producers.deltas.timing import wait_for
from modelcast.producers.steps import Steps
from modelcast.schemas import keys
from modelcast.schemas.log import ModelLog
from modelcast.schemas.records import DeltaHint

_logger = logging.getLogger(__name__)


class DeltaRun:
    """Plans and makes the deltas of one artifact, and knows what became of it.

    Args:
        makes: False: this publication makes none, and its files are kept for those that come after it.

    Attributes:
        made: what lies in the store because of this run.
        failed: what could not be made, and why.
    """

    def __init__(self, shop: DeltaShop, model: str, artifact: Artifact, *, makes: bool = True) -> None:
        self._shop, self._model, self._artifact, self._makes = shop, model, artifact, makes
        self._target: Target | None = None
        self._batches: list[Batch] = []
        self._first = 0
        self._begun: Thread | None = None  # makes what the announcement waits for
        self._stopped = Event()
        self._steps: Steps | None = None  # told of what is made, once somebody looks
        self._lock = Lock()
        self.made: list[DeltaMade] = []
        self.failed: list[str] = []

    def plan(self, log: ModelLog, version: int) -> None:
        """Choose what to make for ``version``, and when; what the announcement waits for is begun.

        Never raises: without deltas, wholes travel.
        """
        try:
            self._plan(log, version)
        except Exception as error:
            self._fail(error)
            _logger.warning("no deltas: %s", error, extra={"model": self._model, "version": version})
            return
        if self._first and not self._stopped.is_set():
            batches = self._batches[: self._first]
            self._begun = Thread(target=self._make, args=(batches,), name="deltas", daemon=True)
            self._begun.start()

    @property
    def hints(self) -> tuple[DeltaHint, ...]:
        """What the announcement foretells: base version, and what a region that holds it would bring."""
        return tuple(DeltaHint(b.offer.base_version, b.offer.size_bytes) for b in self._batches)

    def finish_first(self, steps: Steps) -> None:
        """Return once what the announcement waits for, if anything, is made."""
        if self._begun is not None:
            self._show(self._batches[: self._first], steps)
            self._begun.join()
        self._begun = None

    def make_rest(self, steps: Steps) -> None:
        """Make everything else."""
        self.finish_first(steps)
        batches = self._batches[self._first :]
        if any(b.jobs for b in batches):
            self._show(batches, steps)
            self._make(batches)

    def stop(self) -> None:
        """Nobody wants them any more: end what is under way. Once it returns, nobody reads the files."""
        self._stopped.set()
        if self._begun is not None:
            self._begun.join()

    def keep(self) -> None:
        """Keep the files as bases of later deltas."""
        if self._target is not None:
            self._shop.maker.keep(self._target)

    @property
    def offers(self) -> tuple[DeltaOffer, ...]:
        """What was made, by base version."""
        return offered(self.made)

    @property
    def notes(self) -> tuple[str, ...]:
        """What people should know of it."""
        if not self.failed:
            return ()
        return (f"{len(self.failed)} delta(s) not made, publish again to add them: {self.failed[0]}",)

    # --------------------------------------------------------------------------------------------------------

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
        self._first = wait_for(whole, [b.offer for b in self._batches], links)

    def _telling(self, files: Mapping[str, Path]) -> dict[str, Path]:
        """Those of the files that get deltas, or tell where the tensors of others lie."""
        size_min = self._shop.maker.size_min_bytes
        entries = (f.entry for f in self._artifact.files)
        return {e.digest: files[e.digest] for e in entries if e.size_bytes >= size_min or is_model(e.path)}

    def _show(self, batches: Sequence[Batch], steps: Steps) -> None:
        """From now on ``steps`` is told what is made, and first of what was made already."""
        with self._lock:
            steps.begin("deltas", sum(j.pair.new.size_bytes for b in batches for j in b.jobs))
            for made in self.made if self._begun is not None else ():
                _tell(steps, made)
            self._steps = steps

    def _make(self, batches: Sequence[Batch]) -> None:
        if self._target is None:
            return

        def told(made: DeltaMade) -> None:
            with self._lock:
                self.made.append(made)
                if self._steps is not None:
                    _tell(self._steps, made)

        jobs = chain.from_iterable(b.jobs for b in batches)
        try:
            _, failed = self._shop.maker.make(self._target, jobs, told, self._stopped.is_set)
        except Exception as error:  # of a thread that nobody would hear of
            self._fail(error)
        else:
            self.failed += failed

    def _fail(self, error: Exception) -> None:
        self.failed.append(str(error) or type(error).__name__)


def _tell(steps: Steps, made: DeltaMade) -> None:
    if steps.progress:
        steps.progress.advance(made.whole_bytes)
        steps.progress.delta(made)
