"""The demo's course: publish, replace under load, damage and refuse, roll back. Every claim is checked."""

import asyncio
import statistics
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from modelcast.cli.demo.digits import Answers, TrainedVersion, train
from modelcast.cli.demo.screen import Screen
from modelcast.cli.demo.traffic import Tally, Traffic
from modelcast.cli.demo.watch import Watch, all_refuse, all_serve
from modelcast.infra.settings import Settings
from modelcast.infra.stores.configured import origin_store
from modelcast.producers.commands import Commander
from modelcast.producers.publisher import Publisher
from modelcast.schemas import keys
from modelcast.schemas.errors import ModelcastError
from modelcast.schemas.manifest import MANIFEST_SIZE_MAX, Manifest

MODEL = "digits"
ROLLBACK = "rollback to 1"
RATE_PER_POD = 25.0
STEP_SECONDS_MAX = 60.0
STEADY_SECONDS = 1.5


@dataclass(slots=True)
class Outcome:
    """What the demo came to. ``broken`` are the promises that did not hold, in words."""

    seconds_to_serving: dict[str, dict[str, float]] = field(default_factory=dict)
    requests_sent: int = 0
    requests_failed: int = 0
    wrong_version_answers: int = 0
    refused: dict[int, dict[str, str]] = field(default_factory=dict)
    latency_seconds: dict[str, float] = field(default_factory=dict)
    requests_per_second_per_pod_min: float = 0.0
    accuracy: dict[int, float] = field(default_factory=dict)
    bytes_moved: dict[str, int] = field(default_factory=dict)
    ready_seconds: dict[str, float] = field(default_factory=dict)
    total_seconds: float = 0.0
    broken: list[str] = field(default_factory=list)


class Demo:
    """Runs against a stack that is up.

    Args:
        settings: of that stack.
        folder: for the model files.
        versions: the trained versions.
        screen: shows it.
    """

    def __init__(self, settings: Settings, folder: Path, versions: list[TrainedVersion], screen: Screen) -> None:
        self._settings, self._screen = settings, screen
        self._files: dict[int, Path] = {}
        for number, trained in enumerate(versions, start=1):
            path = folder / f"v{number}" / "model.onnx"
            path.parent.mkdir(parents=True)
            path.write_bytes(trained.onnx)
            self._files[number] = path.parent
        self.outcome = Outcome(accuracy={n: v.accuracy for n, v in enumerate(versions, start=1)})
        answers = Answers({n: v.onnx for n, v in enumerate(versions, start=1)})
        pods = [url for region in settings.regions.values() for url in region.pods]
        self._traffic = Traffic(pods, MODEL, answers, rate=RATE_PER_POD)
        self._watch = Watch(settings, MODEL)
        screen.watch, screen.traffic = self._watch, self._traffic

    def run(self) -> Outcome:
        """The whole course. A promise that does not hold ends it, and is named in the outcome."""
        with _Background(self._traffic) as background, Publisher(self._settings) as publisher:
            try:
                self._course(publisher, background)
            except ModelcastError as error:
                self.outcome.broken.append(str(error))
        self._judge(self._traffic.tally, background.seconds)
        return self.outcome

    def _course(self, publisher: Publisher, background: "_Background") -> None:
        self._publish(publisher, 1)
        background.start()
        self._steady("predictions flow to every pod")
        self._publish(publisher, 2)
        self._steady("version 2 under load")
        self._damaged(publisher)
        self._steady("version 2 keeps serving")
        with Commander(self._settings) as commander:
            self._screen.step("rolling back to version 1")
            self._watch.asked(1, label=ROLLBACK)
            commander.rollback(MODEL, to=1, reason="the demo goes back to where it began")
        self._serving(1, "rolled back: every pod serves version 1 again", label=ROLLBACK)
        self._steady("version 1 under load")

    def _publish(self, publisher: Publisher, version: int) -> None:
        self._screen.step(f"publishing version {version}")
        accuracy = self.outcome.accuracy[version]
        self._watch.asked(version)
        publisher.publish(MODEL, self._files[version], metrics={"accuracy": accuracy})
        told = "replaced version 1 under load in every pod" if version > 1 else "serves in every pod"
        self._serving(version, f"version {version} ({accuracy:.0%} right) {told}")

    def _serving(self, version: int, told: str, *, label: str = "") -> None:
        state = self._watch.until(
            all_serve(version), timeout_seconds=STEP_SECONDS_MAX, what=f"version {version} in all regions"
        )
        for row in state.regions:
            moved = self.outcome.bytes_moved
            moved[row.region] = max(moved.get(row.region, 0), row.bytes_moved)
        slowest = max(self._watch.seconds_to_serving.get(label or str(version), {}).values(), default=0.0)
        self._screen.tell(f"{told}, after {slowest:.2f} s")

    def _damaged(self, publisher: Publisher) -> None:
        """Regions are paused while the bytes are damaged, so that all of them meet the damage."""
        with Commander(self._settings) as commander:
            self._screen.step("publishing version 3, and damaging its bytes in the store")
            commander.pause(MODEL, reason="the demo damages what is published next")
            publication = publisher.publish(MODEL, self._files[3], metrics={"accuracy": self.outcome.accuracy[3]})
            self._flip_a_bit(publication.manifest_digest)
            commander.resume(MODEL, reason="now see what regions make of it")
        self._watch.until(all_refuse(3), timeout_seconds=STEP_SECONDS_MAX, what="version 3 refused everywhere")
        reason = next(iter(self._watch.refused.get(3, {}).values()), "")
        self._screen.tell(f"version 3 was damaged in the store and is refused everywhere: {reason}")

    def _flip_a_bit(self, manifest_digest: str) -> None:
        store = origin_store(self._settings)
        found = store.get(keys.manifest(manifest_digest), size_max=MANIFEST_SIZE_MAX)
        assert found is not None
        (file,) = Manifest.decode(found.body, expected_digest=manifest_digest).files
        key = keys.blob(file.digest)
        blob = store.get(key, size_max=file.size_bytes)
        assert blob is not None
        middle = file.size_bytes // 2
        store.put(key, blob.body[:middle] + bytes([blob.body[middle] ^ 1]) + blob.body[middle + 1 :])

    def _steady(self, doing: str) -> None:
        self._screen.step(doing)
        time.sleep(STEADY_SECONDS)

    def _judge(self, tally: Tally, seconds: float) -> None:
        outcome, watch = self.outcome, self._watch
        outcome.seconds_to_serving, outcome.refused = watch.seconds_to_serving, watch.refused
        outcome.requests_sent, outcome.requests_failed = tally.sent, tally.failed
        outcome.wrong_version_answers = tally.wrong
        pods, regions = sum(len(r.pods) for r in self._settings.regions.values()), set(self._settings.regions)
        if len(tally.latencies_seconds) > 1:
            cuts = statistics.quantiles(tally.latencies_seconds, n=1000)
            outcome.latency_seconds = {"p50": cuts[499], "p99": cuts[989], "max": max(tally.latencies_seconds)}
        if seconds and len(tally.by_pod) == pods:
            outcome.requests_per_second_per_pod_min = min(tally.by_pod.values()) / seconds
        promises: Mapping[str, bool] = {
            "no request may fail": tally.failed == 0,
            "every answer is what the version that it names computes": tally.wrong == 0,
            "version 3 is served nowhere": 3 not in watch.versions_served | tally.versions_ever,
            "version 3 is refused in every region, with a reason": set(watch.refused.get(3, {})) == regions
            and all(watch.refused[3].values()),
            "versions 1 and 2, and 1 again, were served in every region": all(
                set(watch.seconds_to_serving.get(label, {})) == regions for label in ("1", "2", ROLLBACK)
            ),
            "every pod is asked at least 20 times a second": outcome.requests_per_second_per_pod_min >= 20,
        }
        outcome.broken += [promise for promise, held in promises.items() if not held] + tally.examples


class _Background:
    """The traffic, on an event loop in a thread of its own."""

    def __init__(self, traffic: Traffic) -> None:
        self.seconds = 0.0
        self._traffic = traffic
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._run, daemon=True, name="traffic")
        self._began = 0.0

    def start(self) -> None:
        """Begin to send."""
        self._began = time.monotonic()
        self._thread.start()

    def __enter__(self) -> "_Background":
        return self

    def __exit__(self, *_: object) -> None:
        if self._began:
            self.seconds = time.monotonic() - self._began
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._traffic.run(self._stop))
        self._loop.close()


class ThreadedTraining:
    """The versions, trained in a thread while the stack comes up."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(1, thread_name_prefix="train")
        self._future = self._threads.submit(lambda: list(train()))

    def result(self) -> list[TrainedVersion]:
        """The versions, once they are there."""
        try:
            return self._future.result()
        finally:
            self._threads.shutdown(wait=False)
