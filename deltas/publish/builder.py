"""Making the deltas of one artifact and putting them beside it."""

import logging
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from modelcast.deltas import codec as delta
from modelcast.deltas.codec import CancelCheck
from modelcast.deltas.publish.artifacts import OriginArtifacts
from modelcast.deltas.publish.bases.cache import BaseCache
from modelcast.deltas.publish.bases.copies import Copies
from modelcast.deltas.publish.forecast import DeltaForecast
from modelcast.deltas.publish.layouts import MODELS_BYTES_MAX, is_model
from modelcast.deltas.publish.planner import KEPT_RATIO_MAX, WHOLE_RATIO_MAX
from modelcast.deltas.publish.reports import DeltaMade
from modelcast.deltas.publish.targets import DeltaTarget, PlannedDelta, delta_key
from modelcast.infra.files import sha256_of_file
from modelcast.infra.settings_publish import PublishSettings
from modelcast.schemas.errors import ContentError, Refused, TransportError
from modelcast.schemas.ports import ObjectStore

_logger = logging.getLogger(__name__)

OnMade = Callable[[DeltaMade], None]


class _Stopped(Exception):
    """It was cancelled."""


class DeltaBuilder:
    """Makes deltas for one publisher. Thread-safe.

    Args:
        settings: ``publish``.
        store: the origin.
        artifacts: as the origin holds them.
        cache: where bases are kept.
        forecast: learns how large deltas became, and how fast they were made.
    """

    def __init__(
        self,
        settings: PublishSettings,
        store: ObjectStore,
        artifacts: OriginArtifacts,
        cache: BaseCache,
        forecast: DeltaForecast,
    ) -> None:
        self._settings, self._store, self._artifacts = settings, store, artifacts
        self._cache, self._forecast = cache, forecast
        self._size_min_bytes = max(settings.delta_size_min_bytes, 1)

    def make(
        self,
        target: DeltaTarget,
        deltas: Iterable[PlannedDelta],
        on_made: OnMade | None = None,
        stopped: Callable[[], bool] = lambda: False,
        copies: Copies | None = None,
    ) -> tuple[list[DeltaMade], list[str]]:
        """Make deltas and put them into the store.

        Args:
            on_made: called with each that was made.
            stopped: asked between blocks; once it is true, what was made so far is all.
            copies: of the files of the target; None: no other process writes them.

        Returns:
            What was made, and for each that failed why; once the store can't be written, nothing more is tried.
        """

        def check() -> None:
            if stopped():
                raise _Stopped

        made: list[DeltaMade] = []
        failed: list[str] = []
        for planned in deltas:
            try:
                check()
                done = self._make(target, planned, check, copies)
            except _Stopped:
                break
            except (TransportError, Refused) as error:
                failed.append(str(error))
                break
            except Exception as error:  # whatever it is, without this delta the whole travels
                _logger.warning("a delta was not made: %s", error, extra={"model": target.model})
                failed.append(f"{planned.pair.new.path}: {error}")
                continue
            if done is not None:
                made.append(done)
                if on_made:
                    on_made(done)
        return made, failed

    def keep(self, target: DeltaTarget, copies: Copies) -> None:
        """Keep the artifact's files as bases of later deltas; what was copied already is moved there."""
        self._artifacts.remember(target.manifest_digest, target.manifest)
        bases = [f for f in target.manifest.files if f.size_bytes >= self._size_min_bytes]
        models = [f for f in target.manifest.files if is_model(f.path) and f.size_bytes <= MODELS_BYTES_MAX]
        for file in {f.digest: f for f in (*bases, *models)}.values() if bases else ():
            path = target.files.get(file.digest)
            if path is not None and not copies.keep(file.digest, file.size_bytes):
                self._cache.keep(path, file.digest, file.size_bytes)

    # --------------------------------------------------------------------------------------------------------

    def _make(
        self, target: DeltaTarget, planned: PlannedDelta, check: CancelCheck, copies: Copies | None
    ) -> DeltaMade | None:
        """One delta, in the store; None if it is not worth keeping, or its base can't be had."""
        pair, began = planned.pair, time.monotonic()
        new, base, fetched = target.files.get(pair.new.digest), None, None
        with self._cache.scratch() as folder:
            if pair.old is not None:
                base = self._cache.find(pair.old.digest, pair.old.size_bytes)
                base = fetched = self._artifacts.fetch(pair.old, folder, check) if base is None else base
            if new is None or (pair.old is not None and base is None):
                return None
            new = copies.of(new, pair.new.digest) if copies is not None else new
            size, out = self._encode(target, planned, new, base, folder / "delta", check, copies), folder / "delta"
            check()
            if fetched is not None and pair.old is not None and fetched.parent == folder:
                self._cache.take(fetched, pair.old.digest)
            kept = size <= (KEPT_RATIO_MAX if pair.old else WHOLE_RATIO_MAX) * pair.new.size_bytes
            if kept:
                digest = sha256_of_file(out)
                self._store.upload(
                    delta_key(target, pair), out, size_bytes=size, digest=digest, progress=lambda _: check()
                )
            took_seconds = time.monotonic() - began
            self._forecast.learn((target.model, planned.distance), pair.new.size_bytes, size, took_seconds)
        return DeltaMade(planned.base_version, pair.new.path, pair.new.size_bytes, size, took_seconds) if kept else None

    def _encode(
        self,
        target: DeltaTarget,
        planned: PlannedDelta,
        new: Path,
        base: Path | None,
        out: Path,
        check: CancelCheck,
        copies: Copies | None,
    ) -> int:
        """The size of the delta written. Digests are computed, not handed in: no file is trusted to be what it was."""
        pair, threads = planned.pair, self._settings.delta_threads or None
        new_layout = target.layouts.get(pair.new.digest)
        info = delta.make(
            base, new, out, old_layout=planned.old_layout, new_layout=new_layout, threads=threads, check=check
        )
        if info.new_digest != pair.new.digest:
            if copies is not None:
                copies.drop(pair.new.digest)
            raise ContentError("it has changed since it was published", subject=str(new))
        if pair.old is not None and info.base_digest != pair.old.digest:
            self._cache.drop(pair.old.digest)
            raise ContentError("its base is damaged here and was dropped", subject=pair.old.path, hint="publish again")
        return info.delta_size_bytes
