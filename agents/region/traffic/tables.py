"""The origin's tables of shares, read again only where they have changed."""

import threading

import structlog

from modelcast.schemas import keys
from modelcast.schemas.errors import ContentError
from modelcast.schemas.ports import ObjectStore
from modelcast.schemas.traffic.table import TABLE_SIZE_MAX, TrafficTable, decode_table

log = structlog.get_logger(__name__)


class OriginTables:
    """A ``TableStore``.

    Args:
        origin: the store that the registry lies in.
    """

    def __init__(self, origin: ObjectStore) -> None:
        self._origin = origin
        self._known: dict[str, tuple[str, TrafficTable | None]] = {}  # model: (etag, table)
        self._lock = threading.Lock()

    def look(self, model: str) -> TrafficTable | None:
        """See ``TableStore``."""
        key = keys.traffic_table(model)
        info = self._origin.head(key)
        if info is None:
            return None
        with self._lock:
            known = self._known.get(model)
        if known is not None and known[0] == info.etag:
            return known[1]
        try:
            found = self._origin.get(key, size_max=TABLE_SIZE_MAX)
            if found is None:
                return None
            etag, table = found.info.etag, decode_table(found.body)
        except ContentError as error:  # no pod gets it; what they have stays in force
            log.error("the table of shares can't be read", model=model, error=error)
            etag, table = info.etag, None
        with self._lock:
            self._known[model] = etag, table
        return table
