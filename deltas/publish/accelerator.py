"""The accelerator of publishing. The libraries that deltas take are loaded when a file is worth one."""

import logging
import threading
from typing import TYPE_CHECKING

from modelcast.infra.settings import Settings
from modelcast.producers.accelerator import Acceleration, NoAcceleration
from modelcast.producers.artifact import Artifact
from modelcast.schemas.ports import ObjectStore

if TYPE_CHECKING:
    from modelcast.deltas.publish.tools import DeltaTools

_logger = logging.getLogger(__name__)


class DeltaAccelerator:
    """Makes deltas beside publications (``producers.accelerator.PublishAccelerator``). Thread-safe.

    Args:
        settings: ``publish.deltas`` says whether to make them unless a publication says so itself.
        store: the origin.
    """

    def __init__(self, settings: Settings, store: ObjectStore) -> None:
        self._settings, self._store = settings, store
        self._tools: DeltaTools | None = None
        self._lock = threading.Lock()

    def accelerate(self, model: str, artifact: Artifact, *, wanted: bool | None) -> Acceleration:
        """None where no file is worth a delta; where only this publication makes none, its files are still kept."""
        publish = self._settings.publish
        if not (publish.deltas or wanted):
            return NoAcceleration()
        if all(f.entry.size_bytes < max(publish.delta_size_min_bytes, 1) for f in artifact.files):
            return NoAcceleration()
        try:
            from modelcast.deltas.publish.publication import PublicationDeltas
        except ImportError as error:
            if (error.name or "").split(".")[0] == "modelcast":
                raise
            _logger.info("no deltas: %s; install modelcast[delta]", error, extra={"model": model})
            return NoAcceleration()
        makes = publish.deltas if wanted is None else wanted
        return PublicationDeltas(self._shared_tools(), model, artifact, makes=makes)

    def _shared_tools(self) -> "DeltaTools":
        from modelcast.deltas.publish.tools import DeltaTools

        with self._lock:
            if self._tools is None:
                self._tools = DeltaTools.of(self._settings, self._store)
            return self._tools
