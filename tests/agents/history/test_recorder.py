"""What the tracker says becomes changes: each once, whatever was lost on the way, and none before all was read back."""

from collections.abc import Callable
from dataclasses import replace

from modelcast.agents.history.recorder import OUTSTANDING_MAX, Recorder
from modelcast.schemas.codec import decode_as
from modelcast.schemas.records import ALL_OF_THEM, RegionState, VersionChange
from modelcast.schemas.topics import Topic, partition_of
from tests.dashboard.makers import NOW, SECOND, fetching, row, state

MODEL = "ranker"
DIGESTS = {7: "sha256:" + "7" * 64, 8: "sha256:" + "8" * 64}
QUIET_SECONDS = 90.0


class Cluster:
    """Takes records, or loses them."""

    def __init__(self) -> None:
        self.changes: list[VersionChange] = []
        self.loses = False
        self.waiting: list[Callable[[bool], None]] = []

    def send(self, topic: Topic, key: str, value: bytes, on_delivery: Callable[[bool], None]) -> None:
        assert topic is Topic.VERSION_CHANGES
        change = decode_as(VersionChange, value)
        assert key == change.model
        if not self.loses:
            self.changes.append(change)
        self.waiting.append(on_delivery)

    def answer(self) -> None:
        waiting, self.waiting = self.waiting, []
        for on_delivery in waiting:
            on_delivery(not self.loses)


class Scene:
    """A recorder, ready, and the tracker's clock."""

    def __init__(self, recorded: tuple[VersionChange, ...] = (), *, ready: bool = True) -> None:
        self.cluster, self.now_us = Cluster(), NOW
        self.recorder = Recorder(self.cluster, QUIET_SECONDS)
        if ready:
            self.recorder.ready(partition_of(MODEL), recorded)

    def say(self, *rows: RegionState, after: float = 1.0, before_us: int = 0, model: str = MODEL) -> None:
        self.now_us += round(after * SECOND)
        said = state(model, rows, updated_at_us=self.now_us)
        self.recorder.reported(said, DIGESTS, before_us, self.now_us)

    @property
    def told(self) -> list[tuple[str, str, int | None]]:
        return [(c.region, c.status, c.version) for c in self.cluster.changes]


def reported(it: RegionState, at_us: int) -> RegionState:
    return replace(it, reported_at_us=at_us)


def test_a_rollout_is_two_changes_and_what_stays_is_none() -> None:
    scene = Scene()
    scene.say(row("eu"), row("us"))
    assert scene.told == [("eu", "OK", 7), ("us", "OK", 7)]
    scene.cluster.changes.clear()
    scene.say(reported(row("eu"), NOW + SECOND), row("us"))
    scene.say(fetching("eu", 3), row("us"))
    scene.say(fetching("eu", 4, bytes_moved=2**24), row("us"))
    scene.say(
        replace(row("eu"), aspired_version=8, served_version=8, reported_version=8, served_generation=9), row("us")
    )
    assert scene.told == [("eu", "LAG", 7), ("eu", "OK", 8)]
    assert scene.cluster.changes[1].manifest_digest == DIGESTS[8]


def test_a_change_tells_when_the_last_report_bore_out_what_was_before() -> None:
    scene = Scene()
    scene.say(row("eu"))
    scene.say(reported(row("eu"), NOW + 300 * SECOND), after=300)
    confirmed_us = scene.now_us
    scene.say(reported(row("eu"), NOW + 300 * SECOND), after=20)  # said again, not reported again
    scene.say(fetching("eu", 1, reported_at_us=NOW + 340 * SECOND), after=20)
    assert scene.cluster.changes[-1].confirmed_at_us == confirmed_us


def test_what_the_log_alone_changes_confirms_nothing() -> None:
    scene = Scene()
    scene.say(row("eu"))
    reported_us = scene.now_us
    scene.say(row("eu", behind_seconds=1, aspired_version=8, pods_serving=0), after=60)
    done = {"aspired_version": 8, "served_version": 8, "reported_version": 8, "reported_at_us": NOW + 65 * SECOND}
    scene.say(row("eu", **done), after=5)
    assert [c.confirmed_at_us for c in scene.cluster.changes[1:]] == [reported_us, reported_us]


def test_a_silent_region_keeps_its_version_and_tells_when_it_was_last_heard() -> None:
    scene = Scene()
    scene.say(row("eu"))
    heard_us = scene.now_us + 2 * SECOND
    scene.say(replace(row("eu"), silent=True, served_version=None, heard_at_us=heard_us), after=17)
    last = scene.cluster.changes[-1]
    assert (last.status, last.version, last.confirmed_at_us) == ("SILENT", 7, heard_us)


def test_nothing_is_sent_before_all_that_is_recorded_was_read() -> None:
    scene = Scene(ready=False)
    scene.say(row("eu"))
    assert scene.told == []
    known = VersionChange("r", MODEL, "eu", "OK", NOW, 0, 7, DIGESTS[7], 7, 2, 2)
    scene.recorder.ready(partition_of(MODEL), [known])
    assert scene.told == []  # it is recorded already
    scene.say(fetching("eu", 1))
    assert scene.told == [("eu", "LAG", 7)]


def test_what_the_cluster_lost_is_sent_again() -> None:
    scene = Scene()
    scene.cluster.loses = True
    scene.say(row("eu"))
    scene.cluster.answer()
    scene.cluster.loses = False
    scene.say(row("eu"), after=30)
    assert scene.told == [("eu", "OK", 7)]


def test_its_own_changes_that_come_back_late_change_nothing() -> None:
    scene = Scene()
    scene.say(row("eu"))
    scene.say(fetching("eu", 1))
    for change in list(scene.cluster.changes):
        scene.recorder.read(change)
    scene.say(fetching("eu", 2))
    assert scene.told == [("eu", "OK", 7), ("eu", "LAG", 7)]


def test_what_another_worker_recorded_counts() -> None:
    scene = Scene()
    scene.say(row("eu"))
    scene.recorder.read(scene.cluster.changes[0])
    theirs = replace(scene.cluster.changes[0], status="LAG")
    scene.recorder.read(theirs)
    scene.say(row("eu"))
    assert scene.told[1:] == [("eu", "OK", 7)]


def test_a_pause_of_the_tracker_is_recorded() -> None:
    scene = Scene()
    before_us = NOW - 3600 * SECOND
    scene.say(row("eu"), before_us=before_us)
    gap = scene.cluster.changes[0]
    assert (gap.region, gap.confirmed_at_us, gap.changed_at_us) == (ALL_OF_THEM, before_us, scene.now_us)
    scene.say(row("eu"), after=QUIET_SECONDS - 1)
    scene.say(row("eu"), after=QUIET_SECONDS + 1)
    assert [c.region for c in scene.cluster.changes] == [ALL_OF_THEM, "eu", ALL_OF_THEM]


def test_a_region_that_was_forgotten_serves_nothing_more() -> None:
    scene = Scene()
    scene.say(row("eu"), row("us"))
    scene.say(row("eu"))
    scene.say(row("eu"))
    assert scene.told[2:] == [("us", "OUT", None)]


def test_a_flood_waits_and_only_its_newest_state_goes() -> None:
    scene = Scene()
    regions = [f"r-{n}" for n in range(OUTSTANDING_MAX)]
    scene.say(*map(row, regions))
    scene.say(*[fetching(r, 1) for r in regions])
    scene.say(*[row(r, served_version=None, reported_version=7, silent=True) for r in regions])
    assert len(scene.cluster.changes) == OUTSTANDING_MAX
    scene.cluster.answer()
    assert {c.status for c in scene.cluster.changes[OUTSTANDING_MAX:]} == {"SILENT"}


def test_a_partition_that_is_lost_takes_what_was_known_along() -> None:
    scene = Scene()
    scene.say(row("eu"))
    scene.recorder.lost(partition_of(MODEL))
    scene.say(fetching("eu", 1))
    assert len(scene.cluster.changes) == 1
    scene.recorder.ready(partition_of(MODEL), scene.cluster.changes[:1])
    assert scene.told[1:] == [("eu", "LAG", 7)]


def test_what_is_told_to_hold_is_borne_out_by_each_report_and_is_no_pause() -> None:
    scene = Scene()
    scene.say(row("eu"), row("us"))
    scene.cluster.changes.clear()
    for turn in range(1, 11):  # five minutes: as long as a region's reports are apart
        at_us = NOW + turn * 30 * SECOND
        scene.recorder.confirmed(MODEL, {"eu": at_us, "us": NOW}, at_us)
    scene.say(fetching("eu", 3), fetching("us", 3), after=301)
    assert [(c.region, c.status) for c in scene.cluster.changes] == [("eu", "LAG"), ("us", "LAG")]
    confirmed = {c.region: c.confirmed_at_us for c in scene.cluster.changes}
    assert confirmed["eu"] == NOW + 300 * SECOND
    assert confirmed["us"] <= NOW + 31 * SECOND, "its last report was the first"
