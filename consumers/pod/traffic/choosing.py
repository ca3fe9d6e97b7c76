"""Which version answers one request: by its key and the table of shares, among those that are loaded."""

import random
import time
from collections.abc import Mapping
from typing import Any

import orjson
from multidict import istr

from modelcast.consumers.pod.slot import Serving, Slot
from modelcast.consumers.pod.traffic.tally import VersionTally
from modelcast.consumers.pod.worker.frames import ALL_JSON
from modelcast.consumers.pod_clients.port import CANDIDATE, lane_place
from modelcast.schemas.evidence.counts import SHARES
from modelcast.schemas.traffic.bucket import BUCKETS, bucket_of
from modelcast.schemas.traffic.request_key import KeySource, key_bytes
from modelcast.schemas.traffic.table import TrafficArm, TrafficTable, choose_arm

FIELD_BODY_BYTES_MAX = 1024 * 1024
"""A request whose JSON is larger is not read for its key: it counts as one without."""
CANDIDATE_SECONDS_MIN = 1.0
SLOWEST_TIMES = 10
"""A candidate is waited for as long as ten slow answers of the control take, but at least a second."""
TALLIES_MAX = 8


class ModelTraffic:
    """How one model's requests are divided now, and what was counted.

    Attributes:
        table: in force.
        tallies: of the versions that were chosen, by digest.
    """

    def __init__(
        self, model: str, table: TrafficTable, slots: Mapping[str, Slot], tallies: dict[str, VersionTally]
    ) -> None:
        self.table, self.tallies = table, tallies
        self._slots = slots
        self._places = (lane_place(model, CANDIDATE), model)
        self._header = istr(table.key.name) if table.key.source is KeySource.HEADER else None
        self._field = table.key.name if table.key.source is KeySource.FIELD else None
        self._salt = table.salt
        self._slow = table.thresholds
        self._slow_seconds = table.thresholds.slow_us / 1e6
        self._flips_at_us = table.not_before_us
        self._arms = table.arms_at(time.time_ns() // 1000)

    @property
    def arms(self) -> tuple[TrafficArm, ...]:
        """In force now. What was in force before ``not_before_us`` is never again, whatever the clock does."""
        if self._flips_at_us and time.time_ns() // 1000 >= self._flips_at_us:
            self._arms, self._flips_at_us = self.table.arms, 0
        return self._arms

    def choose(self, headers: Mapping[str, str], body: bytes, json_size_bytes: int) -> tuple[Serving | None, bool]:
        """The version for one request, and whether it has a key; None: the control, whatever that is."""
        key: bytes | None = None
        if self._header is not None:
            text = headers.get(self._header)
            if text:
                key = text.encode("utf-8", "surrogateescape")
        elif self._field is not None:
            key = field_key(self._field, body, json_size_bytes)
        bucket = int(random.random() * BUCKETS) if key is None else bucket_of(self._salt, key)
        arms = self.arms if self._flips_at_us else self._arms
        return self.serving(choose_arm(arms, bucket)), key is not None

    def serving(self, arm: TrafficArm) -> Serving | None:
        """What serves the version of that arm here; None: it is not loaded."""
        for place in self._places:
            slot = self._slots.get(place)
            serving = slot.serving if slot is not None else None
            if (
                serving is not None
                and serving.order.version == arm.version
                and serving.order.manifest_digest == arm.manifest_digest
            ):
                return serving
        return None

    def candidate_seconds_max(self, seconds_max: float) -> float:
        """How long a candidate's answer is waited for: the control answers what it leaves lying."""
        slow_seconds = self._slow_seconds
        if not slow_seconds:
            control = self.tallies.get(self.table.control.manifest_digest)
            if control is None or not control.slowest_seconds:
                return seconds_max
            slow_seconds = control.slowest_seconds
        return min(seconds_max, max(CANDIDATE_SECONDS_MIN, SLOWEST_TIMES * slow_seconds))

    def count(self, serving: Serving, status: int, seconds: float, seen: int, *, keyed: bool) -> None:
        """Count what a chosen version answered."""
        self.tally(serving).ended(status, seconds, seen, keyed=keyed, slow=self._slow)

    def tally(self, serving: Serving) -> VersionTally:
        """The version's counts; of many, the ones that began first are forgotten."""
        digest = serving.order.manifest_digest
        tally = self.tallies.get(digest)
        if tally is None:
            tally = self.tallies[digest] = VersionTally(serving.order.version, digest)
            if len(self.tallies) > TALLIES_MAX:
                del self.tallies[next(iter(self.tallies))]
        return tally

    def wants_copy(self, answered: Serving) -> TrafficArm | None:
        """The version that gets a copy of the request that ``answered`` has answered; None: there is none."""
        shadow = self.table.shadow
        if shadow is None or shadow.version == answered.order.version:
            return None
        return shadow if random.random() * SHARES < shadow.share else None


def field_key(name: str, body: bytes, json_size_bytes: int) -> bytes | None:
    """The key in a field of a V2 request's JSON, or of its ``parameters``; None: it has none that can be read."""
    head = body if json_size_bytes == ALL_JSON else body[:json_size_bytes]
    if len(head) > FIELD_BODY_BYTES_MAX:
        return None
    try:
        request: Any = orjson.loads(head)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(request, dict):
        return None
    key = key_bytes(request.get(name))
    if key is None and isinstance(parameters := request.get("parameters"), dict):
        key = key_bytes(parameters.get(name))
    return key
