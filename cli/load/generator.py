"""Sends requests to pods at a steady rate, each when it is due."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import aiohttp
import orjson

from modelcast.cli.load.tally import Ended, LoadTally

UNDER_WAY_MAX = 2_000
"""More requests without an answer would only measure this machine: what is due then counts as not sent."""
VERSION_HEADER = "modelcast-version"


@dataclass(frozen=True, slots=True)
class LoadPlan:
    """What is sent.

    Attributes:
        urls: base URLs of pods, asked in turn.
        model: whose predictions.
        bodies: V2 requests, in turn.
        rate: requests a second, of all pods together.
        seconds: for how long.
        timeout_seconds: after which a request has failed.
        header: that names the user; "": there are no users.
        users: how many there are.
    """

    urls: Sequence[str]
    model: str
    bodies: Sequence[bytes]
    rate: float
    seconds: float
    timeout_seconds: float = 10.0
    header: str = ""
    users: int = 1000


async def run_load(plan: LoadPlan, tally: LoadTally) -> None:
    """Send all that is due within the plan's time, then wait for what is under way."""
    loop = asyncio.get_running_loop()
    limits = aiohttp.TCPConnector(limit=0)
    timeout = aiohttp.ClientTimeout(total=plan.timeout_seconds)
    async with aiohttp.ClientSession(connector=limits, timeout=timeout) as session, asyncio.TaskGroup() as group:
        under_way: set[asyncio.Task[None]] = set()
        started = loop.time()
        for number in range(round(plan.rate * plan.seconds)):
            due_at = started + number / plan.rate
            if (ahead := due_at - loop.time()) > 0:
                await asyncio.sleep(ahead)
            elif number % 64 == 0:
                await asyncio.sleep(0)  # what arrived is looked at, also where sending is late
            if len(under_way) >= UNDER_WAY_MAX:
                tally.not_sent += 1
                continue
            task = group.create_task(_one(session, plan, number, due_at, tally))
            under_way.add(task)
            task.add_done_callback(under_way.discard)


async def _one(session: aiohttp.ClientSession, plan: LoadPlan, number: int, due_at: float, tally: LoadTally) -> None:
    loop = asyncio.get_running_loop()
    url = plan.urls[number % len(plan.urls)].rstrip("/")
    user = f"user-{number % plan.users}" if plan.header else ""
    headers = {"Content-Type": "application/json"} | ({plan.header: user} if user else {})
    version, failure, sent_at = None, "", loop.time()
    try:
        body = plan.bodies[number % len(plan.bodies)]
        async with session.post(f"{url}/v2/models/{plan.model}/infer", data=body, headers=headers) as response:
            text = await response.read()
            named = response.headers.get(VERSION_HEADER, "")
            version = int(named) if named.isdecimal() else None
            if response.status != 200:
                failure = f"{url}: {response.status} {text[:200].decode(errors='replace')}"
    except TimeoutError:
        failure = f"{url}: no answer within {plan.timeout_seconds:g} s"
    except (aiohttp.ClientError, OSError) as error:
        failure = f"{url}: {error or type(error).__name__}"
    tally.add(Ended(due_at, sent_at, loop.time(), version, failure, user))


async def read_metadata(url: str, model: str, timeout_seconds: float) -> Any:
    """A model's V2 metadata, as a pod answers it.

    Raises:
        aiohttp.ClientError, TimeoutError, OSError: it does not.
        ValueError: what it answers is no JSON.
    """
    timeout = aiohttp.ClientTimeout(total=timeout_seconds)
    async with (
        aiohttp.ClientSession(timeout=timeout) as session,
        session.get(f"{url.rstrip('/')}/v2/models/{model}") as response,
    ):
        response.raise_for_status()
        return orjson.loads(await response.read())
