"""A source that says what a test tells it to."""

import asyncio

from modelcast.consumers.discovery.port import DiscoveryFailed, PodAddress

Answer = tuple[PodAddress, ...] | Exception


class ScriptedSource:
    """Gives its answers one by one, each to one look; after the last it keeps silent."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.looks: list[float] = []
        self.closed = False

    async def look(self) -> tuple[PodAddress, ...]:
        if not self.answers:
            await asyncio.Event().wait()
        self.looks.append(asyncio.get_running_loop().time())
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def news(self) -> tuple[PodAddress, ...] | None:
        await asyncio.sleep(10.0)
        return None

    async def aclose(self) -> None:
        self.closed = True


def away(reason: str = "away") -> DiscoveryFailed:
    return DiscoveryFailed(reason)
