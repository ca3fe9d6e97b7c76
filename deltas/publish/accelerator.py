"""The accelerator of publishing: what the deltas of all publications of one publisher share."""

from modelcast.deltas.publish.publication import PublicationDeltas
from modelcast.deltas.publish.tools import DeltaTools
from modelcast.infra.settings import Settings
from modelcast.producers.accelerator import Acceleration, NoAcceleration
from modelcast.producers.artifact import Artifact
from modelcast.schemas.ports import ObjectStore


class DeltaAccelerator:
    """Makes deltas beside publications (``producers.accelerator.Accelerator``). Thread-safe."""

    def __init__(self, settings: Settings, store: ObjectStore) -> None:
        self._wanted = settings.publish.deltas
        self._tools = DeltaTools.of(settings, store)

    def accelerate(self, model: str, artifact: Artifact, *, wanted: bool | None) -> Acceleration:
        """None where no file is worth a delta; where only this publication makes none, its files are still kept."""
        if not (self._wanted or wanted):
            return NoAcceleration()
        if all(f.entry.size_bytes < self._tools.planner.size_min_bytes for f in artifact.files):
            return NoAcceleration()
        return PublicationDeltas(self._tools, model, artifact, makes=self._wanted if wanted is None else wanted)
