"""What the demo does, in order: publish, replace under load, damage and refuse, roll back, try a version that harms."""

import time
from collections.abc import Mapping

from modelcast.cli.demo.background import Background
from modelcast.cli.demo.canary import complaint, roll_out, write_failing
from modelcast.cli.demo.judgement import DAMAGED, ROLLBACK, Followed, judge
from modelcast.cli.demo.offered import Offered
from modelcast.cli.demo.outcome import Outcome
from modelcast.cli.demo.screen import Screen
from modelcast.cli.demo.subject import Subject, ThreadedTraining
from modelcast.cli.demo.watch import all_refuse, all_serve
from modelcast.infra.settings import Settings
from modelcast.infra.stores.configured import origin_store
from modelcast.producers import Publication, Publisher
from modelcast.producers.commands import Commander
from modelcast.schemas import keys
from modelcast.schemas.errors import ModelcastError, NotAnnounced, NotConverged, TransportError
from modelcast.schemas.manifest import MANIFEST_SIZE_MAX, Manifest
from modelcast.schemas.quantities import size
from modelcast.schemas.records import Activation

RATE_PER_POD, RATE_PER_POD_LARGE = 25.0, 5.0
LINK_BYTES_PER_SECOND = 12_500_000
"""What each region has to the origin: 100 Mbit/s."""
STEP_SECONDS_MAX = 600.0
"""How long one step is waited for. It is this long because a busy machine is slow, not wrong."""
STEADY_SECONDS = 1.0
STEADY_ANSWERS = 5
"""So many more answers of each pod are waited for in a steady phase, however long they take."""


class Demo:
    """Runs against a stack that is up.

    Args:
        settings: of that stack.
        training: gives the models.
        screen: shows it.
        deltas: whether the accelerator that makes deltas is installed.
    """

    def __init__(self, settings: Settings, training: ThreadedTraining, screen: Screen, *, deltas: bool) -> None:
        self._settings, self._screen, self._training, self._deltas = settings, screen, training, deltas
        self._offered = Offered()
        self.outcome = Outcome()

    def run(self) -> Outcome:
        """All of it. What is never reached ends it early, and is named in the outcome."""
        small = self._subject(Subject.of(self._training.small(), self._settings, rate=RATE_PER_POD))
        large = self._subject(Subject.of(self._training.large(), self._settings, rate=RATE_PER_POD_LARGE))
        with Background() as background, Publisher(self._settings) as publisher:
            try:
                self._steps(small, large, publisher, background)
            except (NotConverged, TransportError) as error:
                self.outcome.unfinished.append(str(error))
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

    def _steps(self, small: Subject, large: Subject, publisher: Publisher, background: Background) -> None:
        self._publish(publisher, small, 1)
        self._serving(small, 1)
        background.start(small.traffic)
        self._steady("predictions flow to every pod", {small: 1})
        self._publish(publisher, large, 1)
        self._publish(publisher, small, 2)  # while the large one is on its way: neither waits for the other
        self._serving(small, 2)
        self._serving(large, 1)
        background.start(large.traffic)
        self._steady("both models under load", {small: 2, large: 1})
        if not self._deltas:
            self._screen.report("deltas are not installed: the large model crosses whole, or in its changed blocks")
        self._publish_with_deltas(publisher, large, 2)
        self._serving(large, 2)
        self._damaged(publisher, small)
        self._steady("version 2 keeps serving", {small: 2, large: 2})
        with Commander(self._settings) as commander:
            self._screen.step("rolling back to version 1")
            small.watch.asked(1, label=ROLLBACK)
            commander.rollback(small.trained.model, to=1, reason="the demo goes back to where it began")
        self._served(small, 1, ROLLBACK, "rolled back: every pod serves version 1 again")
        self._steady("version 1 under load", {small: 1, large: 2})
        self._canary(publisher, small)
        self._steady("version 1 goes on", {small: 1, large: 2})

    def _publish(self, publisher: Publisher, subject: Subject, version: int) -> Publication | None:
        """Publish it; None: it could not be announced, which ends what is made beside it."""
        model, trained = subject.trained.model, subject.trained.versions[version]
        self._screen.step(f"publishing {model}/{version}")
        subject.watch.asked(version)
        try:
            return publisher.publish(model, trained.folder, metrics={"accuracy": trained.accuracy})
        except NotAnnounced as error:  # it is published all the same, and the tracker announces it
            self.outcome.late.append(f"the announcement of {model}/{version}: {error.message}")
            return None

    def _publish_with_deltas(self, publisher: Publisher, subject: Subject, version: int) -> None:
        """Regions are paused until its deltas are made: whether they use them depends on no machine's speed."""
        model = subject.trained.model
        with Commander(self._settings) as commander:
            commander.pause(model, reason="the demo makes the deltas of the next version first")
            self._offered = Offered.by(self._publish(publisher, subject, version))
            subject.watch.asked(version)
            commander.resume(model, reason="its deltas are there")

    def _serving(self, subject: Subject, version: int) -> None:
        accuracy = subject.trained.versions[version].accuracy
        self._screen.step(f"waiting for {subject.trained.model}/{version}")
        text = f"replaced version {version - 1} under load in every pod" if version > 1 else "serves in every pod"
        self._served(subject, version, str(version), f"{subject.trained.model}/{version} ({accuracy:.0%} right) {text}")

    def _served(self, subject: Subject, version: int, label: str, text: str) -> None:
        what = f"version {version} in all regions"
        subject.watch.until(all_serve(version), timeout_seconds=STEP_SECONDS_MAX, what=what)
        most = max(subject.watch.seen.crossings.get(label, {}).values(), key=lambda c: c.bytes_moved, default=None)
        moved = f", {size(most.bytes_moved)} of {size(most.bytes_total)} moved" if most else ""
        self._screen.report(f"{text}, after {subject.watch.slowest(label):.2f} s{moved}")

    def _damaged(self, publisher: Publisher, subject: Subject) -> None:
        """Regions are paused while the bytes are damaged, so that all of them meet the damage."""
        model, trained = subject.trained.model, subject.trained.versions[DAMAGED]
        with Commander(self._settings) as commander:
            self._screen.step(f"publishing {model}/{DAMAGED}, and damaging its bytes in the store")
            commander.pause(model, reason="the demo damages what is published next")
            publication = publisher.publish(model, trained.folder, metrics={"accuracy": trained.accuracy})
            self._flip_a_bit(publication.manifest_digest)
            commander.resume(model, reason="now see what regions make of it")
        what = f"version {DAMAGED} refused everywhere"
        subject.watch.until(all_refuse(DAMAGED), timeout_seconds=STEP_SECONDS_MAX, what=what)
        reason = next(iter(subject.watch.seen.refused.get(DAMAGED, {}).values()), "")
        self._screen.report(f"{model}/{DAMAGED} was damaged in the store and is refused everywhere: {reason}")

    def _canary(self, publisher: Publisher, subject: Subject) -> None:
        model, good = subject.trained.model, subject.trained.versions[1]
        folder = good.folder.parent / "failing"
        write_failing(good.folder, folder)
        version = DAMAGED + 1
        self._screen.step(f"a canary of {model}/{version}, which fails on every request")
        publisher.publish(model, folder, activation=Activation.STAGED)
        end = roll_out(self._settings, model, version, timeout_seconds=STEP_SECONDS_MAX)
        self.outcome.canary = end
        if complaint(end):
            self.outcome.broken.append(complaint(end))
        self._screen.report(
            f"{model}/{version} was out of all traffic by itself after {end.seconds:.1f} s, and no user saw it fail: "
            f"{end.why}"
        )

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

    def _steady(self, doing: str, serving: Mapping[Subject, int]) -> None:
        """Let traffic flow for a moment, and until every pod has answered by the version that it serves."""
        self._screen.step(doing)
        before = {subject: subject.traffic.tally.answered_by_pod.copy() for subject in serving}
        time.sleep(STEADY_SECONDS)
        deadline = time.monotonic() + STEP_SECONDS_MAX
        for subject, version in serving.items():
            answered = subject.traffic.tally.answered_by_pod
            for pod in subject.traffic.pods:
                while answered[pod, version] - before[subject][pod, version] < STEADY_ANSWERS:
                    if time.monotonic() > deadline:
                        raise NotConverged(
                            f"no {STEADY_ANSWERS} answers by version {version} within {STEP_SECONDS_MAX:.0f} s",
                            subject=f"{subject.trained.model} on {pod}",
                        )
                    time.sleep(0.05)

    def _judge(self, small: Subject, large: Subject, background: Background) -> None:
        outcome, tally = self.outcome, small.traffic.tally
        tallies = {subject.trained.model: subject.traffic.tally for subject in (small, large)}
        outcome.take_tallies(tallies, small.trained.model, background.seconds.get(small.traffic, 0.0))
        outcome.take_seen(small.watch.seen)
        outcome.take_seen(large.watch.seen, f"{large.trained.model}/")
        judgement = judge(
            Followed(small.trained.model, small.watch.seen, tally),
            Followed(large.trained.model, large.watch.seen, large.traffic.tally),
            regions=frozenset(self._settings.regions),
            finished=not outcome.broken and not outcome.unfinished,
            offered=self._offered if self._deltas else None,
            rate=outcome.requests_per_second_per_pod_min,
        )
        outcome.broken += judgement.broken
        outcome.late += judgement.late
        outcome.unfinished += judgement.unfinished
