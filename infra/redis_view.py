"""The live view in Redis: rebuildable, never the truth. ``RedisMirror`` writes it, ``RedisView`` reads it.

    modelcast:registry                          the registry that was written last
    modelcast:<registry>:models                 names of all models (set)
    modelcast:<registry>:model:<model>          f: fence, t: as of when (Redis' clock, µs), v: a VersionState
                                                u: tells v from others, r: a StatesUnchanged that is newer than v
    modelcast:<registry>:pods:<model>:<region>  f, t, p0 … pN: the pages (ModelAck) of the region's snapshot
    modelcast:<registry>:heartbeats             names of all region/worker (set)
    modelcast:<registry>:heartbeat:<region>/<worker>   f, t, v: a RegionHeartbeat
    modelcast:<registry>:trackers               names of all trackers (set)
    modelcast:<registry>:tracker:<worker>       when that tracker last wrote: every second while it lives

**The fence** is a number that only grows from owner to owner. A tracker takes one (``take_fence``) each time that
it is given partitions: Redis' own clock, and in any case more than the last one given out. So it grows also when
Redis loses its data or Kafka its groups. Each write names it; a write with a lower one than what stands is refused
inside Redis. Heartbeats are fenced by when Kafka received them. (A server without scripts, as fakeredis without
Lua, gets plain writes: nothing compares there, and only one tracker should run.)

Keys live for a day without being refreshed, so that readers can tell how old things are also when trackers are gone.
"""

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Generic, Self, TypeVar, cast

import redis
import redis.asyncio

from modelcast.infra.redis_connection import ERRORS, connection_options, redis_unavailable
from modelcast.infra.registry.newer_records import newer_records
from modelcast.infra.settings import Settings
from modelcast.schemas.errors import DecodeError, RedisUnavailable
from modelcast.schemas.records import ModelAck, PodReport, RegionHeartbeat, VersionState
from modelcast.schemas.unchanged import StatesUnchanged, renewed

REGISTRY_KEY = "modelcast:registry"
TTL_SECONDS = 24 * 60 * 60

_WRITE = """
local at = redis.call('HGET', KEYS[1], 'f')
if at and tonumber(at) > tonumber(ARGV[1]) then return 0 end
local t = redis.call('TIME')
if ARGV[3] == '1' then redis.call('DEL', KEYS[1]) end
local said = string.format('%.0f', t[1] * 1000000 + t[2] - tonumber(ARGV[4]))
redis.call('HSET', KEYS[1], 'f', ARGV[1], 't', said, unpack(ARGV, 5))
redis.call('EXPIRE', KEYS[1], ARGV[2])
return 1
"""
_FENCE = """
local t = redis.call('TIME')
local now = t[1] * 1000000 + t[2]
local last = tonumber(redis.call('GET', KEYS[1]) or '0')
if now <= last then now = last + 1 end
redis.call('SET', KEYS[1], string.format('%.0f', now))
return string.format('%.0f', now)
"""
_RENEW = """
local at = redis.call('HMGET', KEYS[1], 'f', 'u')
if at[1] and tonumber(at[1]) > tonumber(ARGV[1]) then return 2 end
if at[2] ~= ARGV[3] then return 0 end
local t = redis.call('TIME')
redis.call('HSET', KEYS[1], 't', string.format('%.0f', t[1] * 1000000 + t[2]), 'r', ARGV[4])
redis.call('EXPIRE', KEYS[1], ARGV[2])
return 1
"""
T = TypeVar("T")
R = TypeVar("R", VersionState, RegionHeartbeat)


@dataclass(frozen=True, slots=True)
class Write:
    """One key's new content. ``whole``: fields that are not named vanish. ``age_us``: for how long it has been so."""

    key: str
    fields: Mapping[str, bytes]
    fence: int
    whole: bool = False
    age_us: int = 0


@dataclass(frozen=True, slots=True)
class Renewal:
    """What is told of a state that has not changed. ``tag``: the field ``u`` of the state that it is about."""

    key: str
    tag: bytes
    told: bytes
    fence: int


@dataclass(frozen=True, slots=True)
class NotRenewed:
    """Keys that were not renewed: they hold another state or none (``missing``), or a newer owner's (``refused``)."""

    missing: frozenset[str] = frozenset()
    refused: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Batch:
    """What goes to Redis in one round trip: fenced writes, and names to add to the sets of names."""

    writes: tuple[Write, ...] = ()
    names: Mapping[str, frozenset[str]] = field(default_factory=dict)


class Keys:
    """The keys of one registry's view."""

    def __init__(self, registry_id: str) -> None:
        self._root = f"modelcast:{registry_id}:"
        self.models = self._root + "models"
        self.heartbeats = self._root + "heartbeats"
        self.trackers = self._root + "trackers"
        self.fence = self._root + "fence"

    def model(self, model: str) -> str:
        """One model's state."""
        return f"{self._root}model:{model}"

    def pods(self, model: str, region: str) -> str:
        """All pods of one model in one region."""
        return f"{self._root}pods:{model}:{region}"

    def heartbeat(self, name: str) -> str:
        """The last heartbeat of a region's worker."""
        return f"{self._root}heartbeat:{name}"

    def tracker(self, worker: str) -> str:
        """When a tracker last wrote."""
        return f"{self._root}tracker:{worker}"


class RedisMirror:
    """The writing side, for one tracker. Every call is bounded by ``redis.timeout_seconds``."""

    def __init__(self, settings: Settings, registry_id: str) -> None:
        self.keys = Keys(registry_id)
        self._registry_id = registry_id
        self._client = redis.asyncio.Redis.from_url(**connection_options(settings))
        self._scripts = True

    async def take_fence(self) -> int:
        """A number greater than any that was given out before.

        Raises:
            RedisUnavailable: Redis does not answer.
        """
        try:
            return int(await self._client.eval(_FENCE, 1, self.keys.fence))
        except redis.ResponseError as error:
            if not _no_scripts(error):
                raise RedisUnavailable(f"Redis refused: {error}") from error
            await self._without_scripts()
            return time.time_ns() // 1000
        except ERRORS as error:
            raise redis_unavailable(error) from error

    async def write(self, batch: Batch) -> int:
        """Write a batch in one round trip.

        Returns:
            How many writes were refused because a newer owner has written.

        Raises:
            RedisUnavailable: it could not be written, or not all of it.
        """
        pipeline = self._client.pipeline(transaction=False)
        pipeline.set(REGISTRY_KEY, self._registry_id, ex=TTL_SECONDS)
        for key, members in batch.names.items():
            if members:
                pipeline.sadd(key, *members)
                pipeline.expire(key, TTL_SECONDS)
        for write in batch.writes:
            self._put(pipeline, write)
        try:
            answers = await pipeline.execute(raise_on_error=True)
        except ERRORS as error:
            if isinstance(error, redis.ResponseError) and self._scripts and _no_scripts(error):
                await self._without_scripts()
                return await self.write(batch)
            raise redis_unavailable(error) from error
        return sum(answer == 0 for answer in answers[-len(batch.writes) :]) if batch.writes and self._scripts else 0

    async def renew(self, renewals: Sequence[Renewal]) -> NotRenewed:
        """Renew states that have not changed, in one round trip.

        Returns:
            What could not be renewed.

        Raises:
            RedisUnavailable: not all could be renewed.
        """
        pipeline = self._client.pipeline(transaction=False)
        for each in renewals:
            if self._scripts:
                pipeline.eval(_RENEW, 1, each.key, each.fence, TTL_SECONDS, each.tag, each.told)
            else:
                pipeline.hset(each.key, mapping={"t": time.time_ns() // 1000, "r": each.told})
        try:
            answers = await pipeline.execute(raise_on_error=True)
        except ERRORS as error:
            raise redis_unavailable(error) from error
        if not self._scripts:
            return NotRenewed()
        found = [(each.key, answer) for each, answer in zip(renewals, answers, strict=True)]
        return NotRenewed(
            frozenset(key for key, answer in found if answer == 0),
            frozenset(key for key, answer in found if answer == 2),
        )

    async def _without_scripts(self) -> None:
        self._scripts = False
        await self._client.connection_pool.disconnect()  # fakeredis hangs up on whom it refused a command

    def _put(self, pipeline: Any, write: Write) -> None:
        if self._scripts:
            flat = [part for item in write.fields.items() for part in item]
            pipeline.eval(_WRITE, 1, write.key, write.fence, TTL_SECONDS, int(write.whole), write.age_us, *flat)
            return
        if write.whole:
            pipeline.delete(write.key)
        pipeline.hset(write.key, mapping={"f": write.fence, "t": time.time_ns() // 1000 - write.age_us, **write.fields})
        pipeline.expire(write.key, TTL_SECONDS)

    async def close(self) -> None:
        """Let go of the connection."""
        await self._client.aclose()


@dataclass(frozen=True, slots=True)
class Aged(Generic[T]):
    """Something read from the view, and its age: seconds since it was last written (by Redis' clock)."""

    value: T
    age_seconds: float
    said_us: int = 0  # of a state: when it was said, also where it was renewed since


class RedisView:
    """The reading side, for command line and dashboards. Synchronous; every call is bounded.

    Args:
        settings: where Redis is.
        registry_id: whose view; None: the one that was written last.
    """

    def __init__(self, settings: Settings, registry_id: str | None = None) -> None:
        self._client = redis.Redis.from_url(**connection_options(settings))
        self._registry_id = registry_id
        self._records = newer_records(settings)

    def models(self) -> list[Aged[VersionState]]:
        """Every model's state, by name.

        Raises:
            RedisUnavailable: Redis does not answer (this and every other method).
        """
        keys = self._keys()
        names = self._names(keys.models) if keys else []
        return self._read([keys.model(n) for n in names], VersionState) if keys else []

    def model(self, model: str) -> Aged[VersionState] | None:
        """One model's state; None if the view has none."""
        keys = self._keys()
        found = self._read([keys.model(model)], VersionState) if keys else []
        return found[0] if found else None

    def pods(self, model: str, region: str) -> Aged[tuple[PodReport, ...]] | None:
        """All pods of a model in a region, however many; None if the region never reported."""
        keys = self._keys()
        if keys is None:
            return None
        found, now_us = self._fetch([keys.pods(model, region)])
        pages = sorted((int(name[1:]), body) for name, body in found[0].items() if name[:1] == b"p")
        try:
            reports = tuple(p for _, body in pages for p in self._records.decode_as(ModelAck, body).pods)
        except DecodeError:
            return None
        return Aged(reports, _age(found[0], now_us)) if pages else None

    def heartbeats(self) -> list[Aged[RegionHeartbeat]]:
        """The last heartbeat of every worker of every region; their age is since they were received."""
        keys = self._keys()
        names = self._names(keys.heartbeats) if keys else []
        return self._read([keys.heartbeat(n) for n in names], RegionHeartbeat) if keys else []

    def tracker_seconds(self) -> float | None:
        """Seconds since any tracker told that it lives; None: none has within a day."""
        keys = self._keys()
        names = self._names(keys.trackers) if keys else []
        found, now_us = self._fetch([keys.tracker(n) for n in names]) if keys else ([], 0)
        return min((_age(fields, now_us) for fields in found if fields), default=None)

    def close(self) -> None:
        """Let go of the connection."""
        self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # --------------------------------------------------------------------------------------------------------

    def _keys(self) -> Keys | None:
        if self._registry_id is not None:
            return Keys(self._registry_id)
        try:
            found = cast(bytes | None, self._client.get(REGISTRY_KEY))
        except ERRORS as error:
            raise redis_unavailable(error) from error
        return Keys(found.decode()) if found else None

    def _names(self, key: str) -> list[str]:
        try:
            return sorted(name.decode() for name in cast(set[bytes], self._client.smembers(key)))
        except ERRORS as error:
            raise redis_unavailable(error) from error

    def _fetch(self, keys: Iterable[str]) -> tuple[list[dict[bytes, bytes]], int]:
        pipeline = self._client.pipeline(transaction=False)
        pipeline.time()
        for key in keys:
            pipeline.hgetall(key)
        try:
            (seconds, micros), *found = pipeline.execute()
        except ERRORS as error:
            raise redis_unavailable(error) from error
        return found, seconds * 1_000_000 + micros

    def _told(self, fields: Mapping[bytes, bytes]) -> StatesUnchanged | None:
        try:
            return self._records.decode_as(StatesUnchanged, fields[b"r"]) if b"r" in fields else None
        except DecodeError:
            return None

    def _read(self, keys: Iterable[str], cls: type[R]) -> list[Aged[R]]:
        found, now_us = self._fetch(keys)
        seen: list[Aged[R]] = []
        for fields in found:
            if b"v" not in fields:
                continue  # expired, or not yet written again
            try:
                value = self._records.decode_as(cls, fields[b"v"])
                seen.append(_renewed(value, self._told(fields), _age(fields, now_us)))
            except DecodeError:
                continue  # its schema is not known
        return seen


def _renewed(found: R, told: StatesUnchanged | None, age_seconds: float) -> Aged[R]:
    """A state with what is told of it since; anything else as it is."""
    if not isinstance(found, VersionState):
        return Aged(found, age_seconds)
    newer = renewed(found, told, told.of(found.model)) if told is not None else None
    return Aged(newer or found, age_seconds, found.updated_at_us)


def _age(fields: Mapping[bytes, bytes], now_us: int) -> float:
    return max(0, now_us - int(fields.get(b"t", b"0"))) / 1_000_000


def _no_scripts(error: redis.ResponseError) -> bool:
    return "unknown command" in str(error).lower()
