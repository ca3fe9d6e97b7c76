"""What making deltas takes, and what was learnt by making them; shared by all publications of one publisher."""

from dataclasses import dataclass

from modelcast.deltas.publish.artifacts import OriginArtifacts
from modelcast.deltas.publish.bases.cache import BaseCache
from modelcast.deltas.publish.builder import DeltaBuilder
from modelcast.deltas.publish.forecast import DeltaForecast
from modelcast.deltas.publish.planner import DeltaPlanner
from modelcast.deltas.publish.regions import KnownRegions
from modelcast.infra.settings import Settings
from modelcast.schemas import keys
from modelcast.schemas.ports import ObjectStore


@dataclass(frozen=True, slots=True)
class DeltaTools:
    """What makes deltas for one origin store. All thread-safe; ``back``: deltas start this many versions back."""

    store: ObjectStore
    back: tuple[int, ...]
    cache: BaseCache
    artifacts: OriginArtifacts
    planner: DeltaPlanner
    builder: DeltaBuilder
    regions: KnownRegions

    @classmethod
    def of(cls, settings: Settings, store: ObjectStore) -> "DeltaTools":
        """The tools, set up by the settings."""
        cache, artifacts, forecast = BaseCache(settings.publish), OriginArtifacts(store), DeltaForecast()
        return cls(
            store=store,
            back=settings.publish.delta_bases,
            cache=cache,
            artifacts=artifacts,
            planner=DeltaPlanner(settings.publish, artifacts, cache, forecast),
            builder=DeltaBuilder(settings.publish, store, artifacts, cache, forecast),
            regions=KnownRegions(settings),
        )

    def present(self, manifest_digest: str) -> frozenset[str]:
        """Keys of the deltas that the store has of an artifact."""
        return frozenset(info.key for info in self.store.list(keys.delta_prefix(manifest_digest)))
