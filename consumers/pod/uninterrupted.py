"""Waiting for what a server was told."""

import asyncio
from typing import TypeVar

T = TypeVar("T")


async def uninterrupted(doing: "asyncio.Task[T]") -> T:
    """What a server was told can't be untold: cancelled, this waits for its end, then passes the cancellation on."""
    try:
        return await asyncio.shield(doing)
    except asyncio.CancelledError:
        await asyncio.wait({doing})
        if not doing.cancelled():
            doing.exception()
        raise
