"""Whatever answers at a pod's address, it ends in a state with a reason, in time, and blames no version."""

import asyncio
from collections.abc import Iterator

import pytest

from modelcast.consumers.pod_clients.port import (
    BLAMES_THE_BYTES,
    BLAMES_THE_VERSION,
    LoadFailed,
    PodReading,
    PodRefused,
    PodUnreachable,
)
from modelcast.consumers.pod_clients.v2 import MESSAGE_CHARS_MAX, Timeouts, V2Pod
from tests.consumers.pod.models import adder, order
from tests.consumers.pod_clients.hostile_urls import hostile_urls

pytestmark = [pytest.mark.integration, pytest.mark.timeout(60)]
HASTY = Timeouts(connect=5.0, read=1.0, load=1.0)


@pytest.fixture(scope="module")
def urls() -> Iterator[dict[str, str]]:
    with hostile_urls() as found:
        yield found


async def judged(name: str, url: str, foreign: bool) -> str:
    """What is wrong with how it ended; "": nothing."""
    pod = V2Pod(name, url, "token", HASTY, foreign=foreign)
    try:
        try:
            reading: PodReading | None = await pod.read("adder")
        except PodUnreachable as error:
            reading = None
            if not error.message or len(error.message) > MESSAGE_CHARS_MAX + 100:
                return f"{name}: reading says {error.message[:80]!r}"
            error.message.encode()
        if reading is not None and (reading.version, reading.manifest_digest) != (None, None):
            return f"{name}: is read as {reading}"
        try:
            await pod.load(order(adder(1), 1))
        except (LoadFailed, PodRefused) as failed:
            message = failed.message
            if failed.code in {BLAMES_THE_BYTES, BLAMES_THE_VERSION, ""}:
                return f"{name}: a load ended in {failed.code!r}"
        except PodUnreachable as error:
            message = error.message
        else:
            return f"{name}: a load counts as done"
        message.encode()
        return "" if 0 < len(message) <= MESSAGE_CHARS_MAX + 100 else f"{name}: a load says {message[:80]!r}"
    finally:
        await pod.aclose()


@pytest.mark.parametrize("foreign", [False, True])
async def test_no_answer_is_taken_for_a_version_blames_one_or_is_waited_for(
    urls: dict[str, str], foreign: bool
) -> None:
    began = asyncio.get_running_loop().time()
    found = await asyncio.gather(*(judged(name, url, foreign) for name, url in urls.items()))
    took = asyncio.get_running_loop().time() - began
    if foreign:  # of a server that is driven directly, 200 to a load is all that it says
        taken = {
            f"{name}: a load counts as done" for name in ("no JSON", "deep JSON", "JSON that ends early", "a bomb")
        }
        found = [said for said in found if said not in taken]
    assert [said for said in found if said] == []
    assert took < 30
