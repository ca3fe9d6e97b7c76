"""Regions: each has a bucket of its own, is one that workers speak for, and has the pods that it names."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, cast
from urllib.parse import urlsplit

from modelcast.cli.doctor.checks import Check, Result, Unit, known
from modelcast.schemas import keys
from modelcast.schemas.errors import DecodeError, RedisUnavailable

if TYPE_CHECKING:
    from modelcast.infra.settings import Settings, StoreSettings
    from modelcast.schemas.ports import ObjectStore

STATES_READ_MAX = 5
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True, slots=True)
class Contents:
    """What a region's bucket holds: models that have a registry log there, and regions whose states lie there."""

    logs: tuple[str, ...] = ()
    regions: frozenset[str] = frozenset()


def units(settings: "Settings") -> list[Unit]:
    """What is looked at about regions."""
    if not settings.regions:
        hint = "set [regions.NAME]; a training job's settings need none"
        return [known(Check("regions", Result.skipped, "the settings list none", hint))]
    found = [Unit("buckets", lambda: judge_buckets(_places(settings)))]
    for name, region in settings.regions.items():
        if region.store is None:
            continue
        found.append(Unit(f"bucket of {name}", partial(_check_contents, name, region.store)))
    return [*found, Unit("region names", partial(_check_names, settings), seconds_max=10.0)]


def _places(settings: "Settings") -> dict[str, tuple[str, str]]:
    named = {f"stores.{alias}": section for alias, section in settings.stores.items()}
    named |= {f"regions.{name}.store": region.store for name, region in settings.regions.items() if region.store}
    return {setting: place_of(section) for setting, section in named.items()}


def place_of(section: "StoreSettings") -> tuple[str, str]:
    """Where a store is: (endpoint, bucket and prefix), written alike for what means the same."""
    parts = urlsplit(section.endpoint_url or "")
    host = (parts.hostname or "").lower()
    port = parts.port or {"http": 80, "https": 443}.get(parts.scheme, 0)
    return f"{'loopback' if host in LOOPBACK else host}:{port}", section.url.removeprefix("s3://").strip("/")


def judge_buckets(places: Mapping[str, tuple[str, str]]) -> list[Check]:
    """Whether every store is a place of its own. ``places``: by setting."""
    at: dict[tuple[str, str], list[str]] = defaultdict(list)
    for setting, place in places.items():
        at[place].append(setting)
    shared = [(place, settings) for place, settings in at.items() if len(settings) > 1]
    if not shared:
        return [Check("buckets", Result.ok, f"{len(places)} stores, each a place of its own")]
    return [
        Check(
            f"buckets: {' and '.join(settings)}",
            Result.error,
            f"they are the same place, s3://{where}: what one writes, the other takes for its own",
            "give each a bucket, or at least a prefix, of its own",
        )
        for (_, where), settings in shared
    ]


def _check_contents(region: str, section: "StoreSettings") -> Iterator[Check]:
    from modelcast.infra.stores.configured import store_of

    yield judge_contents(region, section.url, look_into(store_of(section)))


def look_into(store: "ObjectStore") -> Contents:
    """What a region's bucket holds, as far as a few requests tell."""
    from modelcast.schemas.region_memory import MEMORY_SIZE_MAX, Memory

    logs = [m for m in islice(store.folders(keys.REGISTRY_PREFIX), 3) if any(islice(store.list(keys.log_prefix(m)), 1))]
    regions = set()
    for info in islice(store.list(keys.STATE_PREFIX), STATES_READ_MAX):
        found = store.get(info.key, size_max=MEMORY_SIZE_MAX)
        if found is not None:
            try:
                regions.add(Memory.decode(found.body).region)
            except DecodeError:
                continue  # the region itself says what is wrong with it
    return Contents(tuple(logs), frozenset(regions))


def judge_contents(region: str, url: str, contents: Contents) -> Check:
    """Whether a bucket is that region's own."""
    subject = f"bucket of region {region}"
    setting = f"correct regions.{region}.store.url: a region needs a bucket, or a prefix, of its own"
    if contents.logs:
        message = f"{url} holds registry logs ({', '.join(contents.logs)}): it is an origin"
        return Check(subject, Result.error, message, setting)
    others = contents.regions - {region}
    if others:
        message = f"{url} holds the state of region {', '.join(sorted(others))}"
        return Check(subject, Result.error, message, setting)
    return Check(subject, Result.ok, f"{url} is its own")


def _check_names(settings: "Settings") -> Iterator[Check]:
    from modelcast.infra.redis_view import RedisView

    try:
        with RedisView(settings) as view:
            heard = {seen.value.region: seen.age_seconds for seen in view.heartbeats()}
    except RedisUnavailable:
        yield Check("region names", Result.skipped, "the workers' heartbeats are in Redis, which can't be read")
        return
    yield from judge_names(cast("set[str]", set(settings.regions)), heard)


def judge_names(listed: set[str], heard: Mapping[str, float]) -> Iterator[Check]:
    """Whether the regions that the settings list are those that workers report for.

    Args:
        listed: in the settings.
        heard: regions of workers, and how many seconds ago each was heard.
    """
    import difflib

    for name in sorted(listed - heard.keys()):
        close = difflib.get_close_matches(name, sorted(heard.keys() - listed), n=1, cutoff=0.5)
        meant = f"did you mean {close[0]}? " if close else ""
        hint = f"{meant}start `modelcast run region {name}`, or take it out of the settings"
        yield Check(f"region {name}", Result.warning, "no worker sent a heartbeat for a day", hint)
    for name in sorted(heard.keys() - listed):
        hint = f"list it as [regions.{name}], or stop its workers"
        yield Check(
            f"region {name}", Result.warning, "workers report for it, but the settings here do not list it", hint
        )
    if both := sorted(listed & heard.keys()):
        yield Check("region names", Result.ok, f"workers report for {', '.join(both)}")
