"""Feeding the live view: the newest content of each key, once, in the right name, however often Redis goes away."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence

import pytest

from modelcast.agents.tracker.mirror import BATCH_WRITES_MAX, Mirror
from modelcast.infra.redis_view import Batch, Keys, NotRenewed, Renewal
from modelcast.schemas.errors import RedisUnavailable
from tests.agents.tracker.ports import ports_of
from tests.support.waiting import until_async

REGISTRY = "registry-1"
KEYS = Keys(REGISTRY)


class ViewInMemory:
    """A ``RedisMirror`` that keeps what is written; may be away, or slow."""

    def __init__(self) -> None:
        self.keys = KEYS
        self.batches: list[Batch] = []
        self.content: dict[str, tuple[int, dict[str, bytes]]] = {}
        self.names: dict[str, set[str]] = {}
        self.fences = 0
        self.away = False
        self.refusals = 0
        self.gate = asyncio.Event()
        self.gate.set()
        self.closed = False

    async def take_fence(self) -> int:
        self._answer()
        self.fences += 1
        return self.fences

    async def write(self, batch: Batch) -> int:
        await self.gate.wait()
        self._answer()
        self.batches.append(batch)
        for write in batch.writes:
            self.content[write.key] = (write.fence, dict(write.fields))
        for key, members in batch.names.items():
            self.names.setdefault(key, set()).update(members)
        return 0

    async def renew(self, renewals: Sequence[Renewal]) -> NotRenewed:
        await self.gate.wait()
        self._answer()
        gone, refused = set(), set()
        for each in renewals:
            fence, fields = self.content.get(each.key, (0, {}))
            if fence > each.fence:
                refused.add(each.key)
            elif fields.get("u") == each.tag:
                fields["r"] = each.told
            else:
                gone.add(each.key)
        return NotRenewed(frozenset(gone), frozenset(refused))

    async def close(self) -> None:
        self.closed = True

    def _answer(self) -> None:
        if self.away:
            self.refusals += 1
            raise RedisUnavailable("away")

    def state(self, model: str) -> bytes | None:
        found = self.content.get(KEYS.model(model))
        return found[1]["v"] if found else None


class Scene:
    def __init__(self) -> None:
        self.returns = 0
        self.view = ViewInMemory()
        self.missing: list[str] = []
        self.mirror = Mirror(ports_of(view=self.view), "w", self.back, self.missing.append)
        self.mirror.open(REGISTRY)
        self.running = asyncio.create_task(self.mirror.run())

    def back(self) -> None:
        self.returns += 1

    async def until(self, condition: Callable[[], object]) -> None:
        await until_async(condition)

    async def end(self) -> None:
        self.running.cancel()
        await asyncio.gather(self.running, return_exceptions=True)


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    made = Scene()
    yield made
    await made.end()


async def test_a_state_is_written_under_its_fence_and_its_name(scene: Scene) -> None:
    scene.mirror.state("fraud", b"1")
    await scene.until(lambda: scene.view.state("fraud") == b"1")
    assert scene.view.content[KEYS.model("fraud")][0] == 1
    assert scene.view.names == {KEYS.models: {"fraud"}, KEYS.trackers: {"w"}}
    assert KEYS.tracker("w") in scene.view.content


async def test_of_what_changes_faster_than_it_is_written_only_the_newest_is(scene: Scene) -> None:
    scene.view.gate.clear()
    scene.mirror.state("fraud", b"0")
    await asyncio.sleep(0)
    for number in range(1, 100):
        scene.mirror.state("fraud", str(number).encode())
    scene.view.gate.set()
    await scene.until(lambda: scene.view.state("fraud") == b"99")
    assert len(scene.view.batches) <= 2


async def test_many_keys_go_in_batches_and_none_is_left_behind(scene: Scene) -> None:
    for number in range(3 * BATCH_WRITES_MAX):
        scene.mirror.state(f"model-{number}", b"x")
    await scene.until(lambda: len(scene.view.names.get(KEYS.models, ())) == 3 * BATCH_WRITES_MAX)
    await scene.until(lambda: all(scene.view.state(f"model-{n}") for n in range(3 * BATCH_WRITES_MAX)))
    assert max(len(batch.writes) for batch in scene.view.batches) <= BATCH_WRITES_MAX + 1


async def test_while_redis_is_away_nothing_is_lost_and_the_newest_wins_when_it_is_back(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("modelcast.agents.tracker.mirror.RETRY_SECONDS_MAX", 0.01)
    scene.mirror.state("fraud", b"1")
    scene.mirror.state("churn", b"1")
    await scene.until(lambda: scene.view.state("churn"))
    scene.view.away = True
    scene.mirror.state("fraud", b"2")
    await scene.until(lambda: scene.view.refusals >= 2)
    scene.mirror.state("fraud", b"3")
    scene.mirror.state("spam", b"1")
    assert scene.returns == 0
    scene.view.away = False
    await scene.until(lambda: scene.view.state("fraud") == b"3" and scene.view.state("spam") == b"1")
    assert scene.view.names[KEYS.models] == {"fraud", "churn", "spam"}
    await scene.until(lambda: scene.returns == 1)  # so that everything is put down again
    scene.mirror.state("fraud", b"4")
    await scene.until(lambda: scene.view.state("fraud") == b"4")
    assert scene.returns == 1


async def test_a_new_owner_takes_a_new_fence_and_forgets_what_it_would_have_said_before(scene: Scene) -> None:
    scene.mirror.state("fraud", b"1")
    await scene.until(lambda: scene.view.state("fraud") == b"1")
    scene.view.gate.clear()
    scene.mirror.state("churn", b"in flight")
    await scene.until(lambda: KEYS.model("churn") not in scene.mirror._pending)
    scene.mirror.state("fraud", b"void")
    scene.mirror.heartbeat("eu/w", b"beat", 7, 0)
    scene.mirror.new_owner()
    scene.view.gate.set()
    await scene.until(lambda: KEYS.heartbeat("eu/w") in scene.view.content)
    scene.mirror.state("fraud", b"2")
    await scene.until(lambda: scene.view.state("fraud") == b"2")
    assert scene.view.content[KEYS.model("fraud")][0] == 2
    assert scene.view.content[KEYS.heartbeat("eu/w")][0] == 7  # fenced by when Kafka received it


async def test_what_is_left_at_the_end_is_still_written(scene: Scene) -> None:
    await scene.end()
    scene.mirror.state("fraud", b"last")
    await scene.mirror.close(60)
    assert scene.view.state("fraud") == b"last"
    assert scene.view.closed


async def test_a_redis_that_is_away_does_not_keep_a_tracker_from_ending(scene: Scene) -> None:
    await scene.end()
    scene.view.away = True
    scene.mirror.state("fraud", b"last")
    await scene.mirror.close(60)
    assert scene.view.closed


async def test_a_tracker_tells_that_it_lives_while_it_has_nothing_else_to_tell(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("modelcast.agents.tracker.mirror.BEAT_SECONDS", 0.01)
    beating = asyncio.create_task(scene.mirror.beat())
    try:
        await scene.until(lambda: len(scene.view.batches) >= 3)
    finally:
        beating.cancel()
    assert {write.key for batch in scene.view.batches for write in batch.writes} == {KEYS.tracker("w")}
    assert scene.view.names == {KEYS.trackers: {"w"}}


async def test_before_the_registry_is_known_nothing_is_put_down() -> None:
    mirror = Mirror(ports_of(view=ViewInMemory()), "w", lambda: None, lambda _: None)
    mirror.state("fraud", b"1")
    mirror.heartbeat("eu/w", b"beat", 7, 0)
    assert mirror._pending == {}


async def test_what_has_not_changed_is_renewed_and_nothing_is_written_again(scene: Scene) -> None:
    scene.mirror.unchanged("fraud", b"told")  # no state was noted: there is nothing to renew
    scene.mirror.state("fraud", b"1")
    await scene.until(lambda: scene.view.state("fraud") == b"1")
    scene.mirror.unchanged("fraud", b"told")
    await scene.until(lambda: scene.view.content[KEYS.model("fraud")][1].get("r") == b"told")
    written = [write.key for batch in scene.view.batches for write in batch.writes]
    assert written.count(KEYS.model("fraud")) == 1
    assert scene.missing == []


async def test_what_redis_lost_is_asked_for_again(scene: Scene) -> None:
    scene.mirror.state("fraud", b"1")
    scene.mirror.state("churn", b"1")
    await scene.until(lambda: scene.view.state("fraud") and scene.view.state("churn"))
    del scene.view.content[KEYS.model("fraud")]
    for model in ("fraud", "churn"):
        scene.mirror.unchanged(model, b"told")
    await scene.until(lambda: scene.missing == ["fraud"])


async def test_what_is_told_of_a_state_waits_until_that_is_written(scene: Scene) -> None:
    scene.view.gate.clear()
    scene.mirror.state("fraud", b"1")
    await asyncio.sleep(0)
    scene.mirror.state("fraud", b"2")
    scene.mirror.unchanged("fraud", b"told")
    scene.view.gate.set()
    await scene.until(lambda: scene.view.content.get(KEYS.model("fraud"), (0, {}))[1].get("r") == b"told")
    assert scene.view.state("fraud") == b"2"
    assert scene.missing == []


async def test_a_sleeper_with_a_higher_fence_loses_even_where_nothing_changes(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    for model in ("fraud", "churn"):
        scene.mirror.state(model, b"1")
    await scene.until(lambda: scene.view.state("fraud") and scene.view.state("churn"))
    scene.view.fences = 2  # somebody who was replaced while it was paused took it on waking, and says what was
    scene.view.content[KEYS.model("fraud")] = (2, {"v": b"0", "u": b"sleeper"})
    scene.mirror.unchanged("fraud", b"told")
    await scene.until(lambda: scene.mirror.refused == 1)
    assert (scene.returns, scene.missing) == (0, []), "it may be ours to lose: then we hear of that soon"
    monkeypatch.setattr("modelcast.agents.tracker.mirror.REFUSED_SECONDS_MAX", 0.0)
    scene.mirror.unchanged("churn", b"told")  # that this one is taken proves nothing of the other
    await scene.until(lambda: scene.view.content[KEYS.model("churn")][1].get("r") == b"told")
    scene.mirror.unchanged("fraud", b"told")
    await scene.until(lambda: scene.returns == 1)
    scene.mirror.state("fraud", b"1")  # as everything is put down again then
    await scene.until(lambda: scene.view.content[KEYS.model("fraud")][0] == 3)
