"""The deltas of one publication: looked into while its bytes are uploaded, made before the announcement or after.

Those that the announcement waits for are begun beside the upload: that keeps the link busy, this the processor.
"""

import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import chain
from pathlib import Path
from threading import Event, Lock

from modelcast.deltas.ablation import DELTAS, FORECAST
from modelcast.deltas.publish.bases.copies import Copies
from modelcast.deltas.publish.job import DeltaJob
from modelcast.deltas.publish.layouts import is_model, layouts_by_digest
from modelcast.deltas.publish.planning.choice import bases_of
from modelcast.deltas.publish.planning.links import held_by
from modelcast.deltas.publish.planning.timing import deltas_awaited
from modelcast.deltas.publish.reports import offered
from modelcast.deltas.publish.targets import DeltaBatch, DeltaTarget
from modelcast.deltas.publish.tools import DeltaTools
from modelcast.producers import Publication, StepTimer
from modelcast.producers.accelerator import Additions
from modelcast.producers.artifact import Artifact
from modelcast.schemas.log.fold import ModelLog
from modelcast.schemas.records import DeltaHint

PATIENCE, PATIENCE_SECONDS = 2.0, 2.0
"""An announcement waits for deltas at most this factor times their forecast, plus these seconds."""

_logger = logging.getLogger(__name__)


class PublicationDeltas:
    """Plans and makes the deltas of one artifact (``producers.accelerator.Acceleration``).

    Args:
        tools: shared with other publications.
        model: its name.
        artifact: what the deltas make.
        makes: False: this publication makes none, and its files are kept for those that come after it.
    """

    def __init__(self, tools: DeltaTools, model: str, artifact: Artifact, *, makes: bool = True) -> None:
        self._tools, self._model, self._artifact, self._makes = tools, model, artifact, makes
        self._target: DeltaTarget | None = None
        self._batches: list[DeltaBatch] = []
        self._waited_for = 0  # of them, by the announcement
        self._first: DeltaJob | None = None
        self._rest: DeltaJob | None = None
        self._copies = Copies(tools.cache)
        self._stopped = Event()
        self._planning = Lock()
        self._failed: list[str] = []

    def beside(self, log: ModelLog, version: int) -> None:
        """Choose what to make for ``version``, and when; what the announcement waits for is begun.

        Never raises: without deltas, wholes travel.
        """
        with self._planning:
            if self._stopped.is_set():
                return
            try:
                self._plan(log, version)
                if self._waited_for and self._target is not None:
                    first = self._job(self._target, self._batches[: self._waited_for])
                    first.begin()
                    self._first = first
            except Exception as error:
                self._waited_for = 0
                self._failed.append(str(error) or type(error).__name__)
                _logger.warning("no deltas: %s", error, extra={"model": self._model, "version": version})

    def before(self, timer: StepTimer) -> tuple[DeltaHint, ...]:
        """Return once what the announcement waits for, if anything, is made, or takes much longer than was thought.

        The hints name the base versions, and what a region that holds one would bring.
        """
        if self._first is not None:
            self._first.show(timer)
            if not self._first.wait(PATIENCE * self._first.seconds + PATIENCE_SECONDS):
                _logger.info("announced before its deltas are made: they take long", extra={"model": self._model})
        return tuple(DeltaHint(b.offer.base_version, b.offer.size_bytes) for b in self._batches)

    def after(self, publication: Publication, timer: StepTimer) -> Additions:
        """Make everything else, and keep the files as bases; where it was not announced, only the latter."""
        if not publication.announced:
            self._end()
            self._keep()
            return Additions()
        self._make_rest(timer)
        timer.begin("keep")
        self._keep()
        timer.end()
        return Additions(offered([made for job in self._jobs for made in job.made]), self._notes())

    def close(self) -> None:
        """End what is under way, and leave nothing but what was kept."""
        self._end()
        self._copies.close()

    # --------------------------------------------------------------------------------------------------------

    def _make_rest(self, timer: StepTimer) -> None:
        """Return once nothing is under way any more."""
        if self._first is not None and not self._first.wait(0):
            self._first.show(timer)
            self._first.wait()
        batches = self._batches[self._waited_for :]
        if self._target is not None and any(b.deltas for b in batches):
            self._rest = self._job(self._target, batches)
            self._rest.run(timer)

    def _end(self) -> None:
        """End what is under way: once it returns, the files are not read any more."""
        self._stopped.set()
        with self._planning:
            first = self._first
        if first is not None:
            with suppress(Exception):  # of a watcher
                first.wait()

    def _keep(self) -> None:
        """Keep the files as bases of later deltas. Never raises: without bases, those are missing."""
        if self._target is None:
            return
        try:
            self._tools.builder.keep(self._target, self._copies)
        except Exception as error:
            _logger.warning("its files are not kept as bases: %s", error, extra={"model": self._model})

    def _notes(self) -> tuple[str, ...]:
        failed = [*self._failed, *chain.from_iterable(job.failed for job in self._jobs)]
        if not failed:
            return ()
        return (f"{len(failed)} delta(s) not made, publish again to add them: {failed[0]}",)

    @property
    def _jobs(self) -> list[DeltaJob]:
        return [job for job in (self._first, self._rest) if job is not None]

    def _job(self, target: DeltaTarget, batches: Sequence[DeltaBatch]) -> DeltaJob:
        return DeltaJob(self._tools.builder, target, batches, self._copies, self._stopped)

    def _plan(self, log: ModelLog, version: int) -> None:
        files = {f.entry.digest: f.path for f in self._artifact.files}
        if not self._makes:
            self._target = DeltaTarget(self._model, version, self._artifact.digest, self._artifact.manifest, files, {})
            return
        links = self._tools.regions.links(self._model, log.registry_id)
        bases = bases_of(log, version, self._artifact.digest, self._tools.back, held_by(links))
        self._target = DeltaTarget(
            model=self._model,
            version=version,
            manifest_digest=self._artifact.digest,
            manifest=self._artifact.manifest,
            files=files,
            layouts=layouts_by_digest(self._artifact.manifest, self._read(files)),
            present=self._tools.present(self._artifact.digest),
        )
        self._batches = self._tools.planner.plan(log, self._target, bases)
        whole = max((b.whole_bytes for b in self._batches), default=0)
        waits = not DELTAS.without(FORECAST)
        self._waited_for = deltas_awaited(whole, [b.offer for b in self._batches], links) if waits else 0

    def _read(self, files: Mapping[str, Path]) -> dict[str, Path]:
        """Those of the files that get deltas, or tell where the tensors of others lie."""
        size_min = self._tools.planner.size_min_bytes
        entries = (f.entry for f in self._artifact.files)
        return {e.digest: files[e.digest] for e in entries if e.size_bytes >= size_min or is_model(e.path)}
