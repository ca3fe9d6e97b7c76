"""A live view that tells of one model, as the tracker would write it."""

import asyncio

from modelcast.infra.redis_view import Batch, RedisMirror, Write
from modelcast.infra.settings import Settings
from modelcast.schemas.codec import encode
from modelcast.schemas.records import VersionState

REGISTRY, MODEL = "a-registry", "fraud"


def tell_of_a_model(redis_url: str) -> None:
    """Write the state of ``MODEL``, which nobody serves yet, into the Redis at ``redis_url``."""
    state = VersionState(REGISTRY, MODEL, 1, None, None, 0, None, 0.0, 0, 0, 1)

    async def tell() -> None:
        mirror = RedisMirror(Settings(redis={"url": redis_url}), REGISTRY)  # type: ignore[arg-type]
        write = Write(mirror.keys.model(MODEL), {"v": encode(state)}, 1)
        assert await mirror.write(Batch((write,), {mirror.keys.models: frozenset({MODEL})})) == 0
        await mirror.close()

    asyncio.run(tell())
