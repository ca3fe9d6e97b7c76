"""What the deltas of all publications of one publisher share."""

from modelcast.infra.settings import Settings
from modelcast.producers.deltas.base_cache import BaseCache
from modelcast.producers.deltas.maker import DeltaMaker
from modelcast.producers.deltas.regions import Regions
from modelcast.schemas.ports import ObjectStore


class DeltaShop:
    """Tools for making deltas, and what was learnt with them."""

    def __init__(self, settings: Settings, store: ObjectStore) -> None:
        self.store = store
        self.back = settings.publish.delta_bases
        self.cache = BaseCache(settings.publish)
        self.maker = DeltaMaker(settings.publish, store, self.cache)
        self.regions = Regions(settings)
