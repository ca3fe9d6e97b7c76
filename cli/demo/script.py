"""The demo's course: publish, replace under load, damage and refuse, roll back. Every claim is checked."""

import time
from collections.abc import Mapping

from modelcast.cli.console import size
from modelcast.cli.demo.background import Background
from modelcast.cli.demo.outcome import Outcome, is_small
from modelcast.cli.demo.screen import Screen
from modelcast.cli.demo.subject import Subject, ThreadedTraining
from modelcast.cli.demo.watch import all_refuse, all_serve
from modelcast.infra.settings import Settings
from modelcast.infra.stores.configured import origin_store
from modelcast.producers.commands import Commander
from modelcast.producers.publisher import Publisher
from modelcast.schemas import keys
from modelcast.schemas.errors import ModelcastError
from modelcast.schemas.manifest import MANIFEST_SIZE_MAX, Manifest

ROLLBACK = "rollback to 1"
RATE_PER_POD, RATE_PER_POD_LARGE = 25.0, 5.0
LINK_BYTES_PER_SECOND = 12_500_000
"""What each region has to the origin: 100 Mbit/s."""
STEP_SECONDS_MAX = 120.0
STEADY_SECONDS = 1.0


class Demo:
    """Runs against a stack that is up.

    Args:
        settings: of that stack.
        training: gives the models.
        screen: shows it.
    """

    def __init__(self, settings: Settings, training: ThreadedTraining, screen: Screen) -> None:
        self._settings, self._screen, self._training = settings, screen, training
        self.outcome = Outcome()

    def run(self) -> Outcome:
        """The whole course. A promise that does not hold ends it, and is named in the outcome."""
        small = self._subject(Subject.of(self._training.small(), self._settings, rate=RATE_PER_POD))
        large = self._subject(Subject.of(self._training.large(), self._settings, rate=RATE_PER_POD_LARGE))
        with Background() as background, Publisher(self._settings) as publisher:
            try:
                self._course(small, large, publisher, background)
            except ModelcastError as error:
                self.outcome.broken.append(str(error))
        self._judge(small, large, background)
        return self.outcome

    def _subject(self, subject: Subject) -> Subject:
        self._screen.subjects.append(subject)
        self.outcome.accuracy |= {
            f"{subject.trained.model}/{n}": v.accuracy for n, v in subject.trained.versions.items()
        }
        return subject

    def _course(self, small: Subject, large: Subject, publisher: Publisher, background: Background) -> None:
        self._publish(publisher, small, 1)
        self._serving(small, 1)
        background.start(small.traffic)
        self._steady("predictions flow to every pod")
        self._publish(publisher, large, 1)
        self._publish(publisher, small, 2)  # while the large one is on its way: neither waits for the other
        self._serving(small, 2)
        self._serving(large, 1)
        background.start(large.traffic)
        self._steady("both models under load")
        self._publish(publisher, large, 2)
        self._serving(large, 2)
        self._damaged(publisher, small)
        self._steady("version 2 keeps serving")
        with Commander(self._settings) as commander:
            self._screen.step("rolling back to version 1")
            small.watch.asked(1, label=ROLLBACK)
            commander.rollback(small.trained.model, to=1, reason="the demo goes back to where it began")
        self._served(small, 1, ROLLBACK, "rolled back: every pod serves version 1 again")
        self._steady("version 1 under load")

    def _publish(self, publisher: Publisher, subject: Subject, version: int) -> None:
        model, trained = subject.trained.model, subject.trained.versions[version]
        self._screen.step(f"publishing {model}/{version}")
        subject.watch.asked(version)
        publisher.publish(model, trained.folder, metrics={"accuracy": trained.accuracy})

    def _serving(self, subject: Subject, version: int) -> None:
        accuracy = subject.trained.versions[version].accuracy
        self._screen.step(f"waiting for {subject.trained.model}/{version}")
        told = f"replaced version {version - 1} under load in every pod" if version > 1 else "serves in every pod"
        self._served(subject, version, str(version), f"{subject.trained.model}/{version} ({accuracy:.0%} right) {told}")

    def _served(self, subject: Subject, version: int, label: str, told: str) -> None:
        what = f"version {version} in all regions"
        subject.watch.until(all_serve(version), timeout_seconds=STEP_SECONDS_MAX, what=what)
        most = max(subject.watch.crossings.get(label, {}).values(), key=lambda c: c.bytes_moved, default=None)
        moved = f", {size(most.bytes_moved)} of {size(most.bytes_total)} moved" if most else ""
        self._screen.tell(f"{told}, after {subject.watch.slowest(label):.2f} s{moved}")

    def _damaged(self, publisher: Publisher, subject: Subject) -> None:
        """Regions are paused while the bytes are damaged, so that all of them meet the damage."""
        model, trained = subject.trained.model, subject.trained.versions[3]
        with Commander(self._settings) as commander:
            self._screen.step(f"publishing {model}/3, and damaging its bytes in the store")
            commander.pause(model, reason="the demo damages what is published next")
            publication = publisher.publish(model, trained.folder, metrics={"accuracy": trained.accuracy})
            self._flip_a_bit(publication.manifest_digest)
            commander.resume(model, reason="now see what regions make of it")
        subject.watch.until(all_refuse(3), timeout_seconds=STEP_SECONDS_MAX, what="version 3 refused everywhere")
        reason = next(iter(subject.watch.refused.get(3, {}).values()), "")
        self._screen.tell(f"{model}/3 was damaged in the store and is refused everywhere: {reason}")

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

    def _judge(self, small: Subject, large: Subject, background: Background) -> None:
        outcome, tally, watch = self.outcome, small.traffic.tally, small.watch
        seconds = background.seconds.get(small.traffic, 0.0)
        tallies = {subject.trained.model: subject.traffic.tally for subject in (small, large)}
        outcome.take_tallies(tallies, small.trained.model, seconds)
        outcome.take_watch(watch)
        outcome.take_watch(large.watch, f"{large.trained.model}/")
        pods, regions = sum(len(r.pods) for r in self._settings.regions.values()), set(self._settings.regions)
        second = large.watch.crossings.get("2", {})
        promises: Mapping[str, bool] = {
            "no request may fail": outcome.requests_failed == 0,
            "every answer is what the version that it names computes": outcome.wrong_version_answers == 0,
            "version 3 is served nowhere": 3 not in watch.versions_served | tally.versions_ever,
            "version 3 is refused in every region, with a reason": set(watch.refused.get(3, {})) == regions
            and all(watch.refused[3].values()),
            "versions 1 and 2, and 1 again, were served in every region": all(
                set(watch.seconds_to_serving.get(label, {})) == regions for label in ("1", "2", ROLLBACK)
            ),
            "both versions of the large model were served in every region, and answered": all(
                set(large.watch.seconds_to_serving.get(label, {})) == regions for label in ("1", "2")
            )
            and large.traffic.tally.versions_ever == {1, 2},
            "the large model's progress was told by every region": large.watch.progress_seen == regions,
            "its second version crossed as a delta, in a tenth of its bytes": set(second) == regions
            and is_small(second),
            "every pod is asked at least 20 times a second": len(tally.by_pod) == pods
            and outcome.requests_per_second_per_pod_min >= 20,
        }
        outcome.broken += [promise for promise, held in promises.items() if not held]
        outcome.broken += [example for each in tallies.values() for example in each.examples]
