"""What regions hold of a model and how fast their links are, as far as the live view tells. It may know nothing."""

import time

from modelcast.deltas.publish.planning.links import links_of
from modelcast.deltas.publish.planning.timing import RegionLink
from modelcast.infra.redis_view import RedisView
from modelcast.infra.settings import Settings
from modelcast.schemas.errors import RedisUnavailable

QUIET_SECONDS = 60.0
"""After a Redis that did not answer, none is asked for this long: most training machines can't reach one."""
SPEED_AGE_SECONDS_MAX = 24 * 3600.0


class KnownRegions:
    """The regions as seen from here."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._quiet_until = 0.0

    def links(self, model: str, registry_id: str) -> tuple[RegionLink, ...]:
        """Every region of which something is known."""
        if time.monotonic() < self._quiet_until:
            return ()
        try:
            with RedisView(self._settings, registry_id) as view:
                state = view.model(model)
                beats = [b.value for b in view.heartbeats() if b.age_seconds < SPEED_AGE_SECONDS_MAX]
        except RedisUnavailable:
            self._quiet_until = time.monotonic() + QUIET_SECONDS
            return ()
        return links_of(state.value if state else None, beats)
