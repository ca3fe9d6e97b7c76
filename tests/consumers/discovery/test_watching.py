"""Following a source: when it is looked at again, and what becomes of its failures."""

import asyncio
import itertools

from modelcast.consumers.discovery.decider.merging import CONFIRM_SECONDS, FleetView
from modelcast.consumers.discovery.port import PodAddress
from modelcast.consumers.discovery.watching import PAUSE_SECONDS_MAX, FleetWatch
from tests.consumers.discovery.scripted import Answer, ScriptedSource, away
from tests.support.virtual_time import in_virtual_time

A, B = PodAddress("a", "http://a:1"), PodAddress("b", "http://b:1")


class Followed:
    """A watch of a scripted source, and every view that it had."""

    def __init__(self, *answers: Answer) -> None:
        self.views: list[FleetView] = []
        self.source = ScriptedSource(*answers)
        self.watch = FleetWatch("f", self.source, lambda view, _: self.views.append(view))

    async def run(self, seconds: float) -> "Followed":
        task = asyncio.create_task(self.watch.run())
        await asyncio.sleep(seconds)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return self

    @property
    def names(self) -> list[str]:
        return ["".join(sorted(view.pods)) for view in self.views]


@in_virtual_time
async def test_a_source_is_looked_at_again_when_it_has_news() -> None:
    followed = await Followed((A,), (A, B)).run(15.0)
    assert followed.names == ["a", "ab"]
    assert followed.source.closed


@in_virtual_time
async def test_a_source_that_fails_is_asked_again_later_and_later_and_its_pods_are_kept() -> None:
    followed = await Followed((A,), *[away()] * 12, (A, B)).run(1000.0)
    assert followed.names == ["a"] * 13 + ["ab"]
    assert [bool(view.error) for view in followed.views] == [False] + [True] * 12 + [False]
    looks = followed.source.looks[1:]
    pauses = [later - earlier for earlier, later in itertools.pairwise(looks)]
    assert pauses[0] <= 1.0
    assert PAUSE_SECONDS_MAX / 2 <= pauses[-1] <= PAUSE_SECONDS_MAX


@in_virtual_time
async def test_an_answer_without_pods_is_confirmed_by_a_second_look_soon() -> None:
    followed = await Followed((A,), (), ()).run(30.0)
    assert followed.names == ["a", "a", ""]
    assert followed.source.looks[2] - followed.source.looks[1] == CONFIRM_SECONDS


@in_virtual_time
async def test_a_single_empty_answer_is_forgotten() -> None:
    followed = await Followed((A,), (), (A, B)).run(30.0)
    assert followed.names == ["a", "a", "ab"]


@in_virtual_time
async def test_an_unforeseen_error_of_a_source_is_a_failed_look() -> None:
    followed = await Followed((A,), KeyError("metadata"), (B,)).run(30.0)
    assert followed.names == ["a", "a", "b"]
    assert followed.views[1].error == "KeyError: 'metadata'"
