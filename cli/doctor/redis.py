"""The live view's server."""

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING

from modelcast.cli.doctor.checks import Check, Result, Unit

if TYPE_CHECKING:
    from modelcast.infra.settings import Settings


def units(settings: "Settings") -> list[Unit]:
    """What is looked at in Redis."""
    return [Unit("redis", partial(_check, settings), seconds_max=10.0)]


def _check(settings: "Settings") -> Iterator[Check]:
    from modelcast.infra.redis_connection import server_info

    info = server_info(settings)
    tls = ", over TLS" if settings.redis.url.get_secret_value().startswith("rediss://") else ""
    yield Check("redis", Result.ok, f"version {info.get('redis_version', '?')}{tls}")
    yield judge_eviction(str(info.get("maxmemory_policy", "")))


def judge_eviction(policy: str) -> Check:
    """Whether the server may drop what it was given."""
    if not policy or policy == "noeviction" or policy.startswith("volatile"):
        return Check("redis: eviction", Result.ok, policy or "the server does not report its policy")
    hint = "nothing is lost by it; set maxmemory-policy to noeviction or volatile-ttl, or use a server of its own"
    return Check("redis: eviction", Result.warning, f"{policy}: it may drop what views show", hint)
