"""Deltas under way, beside whatever else a publication does."""

from collections.abc import Callable, Sequence
from itertools import chain
from threading import Event, Lock, Thread
from typing import TypeVar

from modelcast.producers.deltas.copies import Copies
from modelcast.producers.deltas.maker import Batch, DeltaMaker, Target
from modelcast.producers.deltas.offers import DeltaMade
from modelcast.producers.steps import Steps

T = TypeVar("T")


class Making:
    """Makes batches, one delta after the other, and tells whoever looks.

    Args:
        maker: makes them.
        target: of what.
        batches: in this order.
        copies: of the target's files.
        stopped: once it is set, what is under way ends soon.

    Attributes:
        made: what lies in the store because of it.
        failed: what could not be made, and why.
    """

    def __init__(
        self, maker: DeltaMaker, target: Target, batches: Sequence[Batch], copies: Copies, stopped: Event
    ) -> None:
        self._maker, self._target, self._batches = maker, target, batches
        self._copies, self._stopped = copies, stopped
        self._steps: Steps | None = None
        self._told_wrong: Exception | None = None  # what a watcher raised
        self._thread: Thread | None = None
        self._told_count = 0  # of those made
        self._lock = Lock()
        self.made: list[DeltaMade] = []
        self.failed: list[str] = []

    @property
    def seconds(self) -> float:
        """What making all of them is thought to take."""
        return sum(batch.offer.seconds for batch in self._batches)

    def begin(self) -> None:
        """Make them in a thread of its own.

        Raises:
            RuntimeError: there can be no more threads.
        """
        thread = Thread(target=self._make, name="deltas", daemon=True)
        thread.start()
        self._thread = thread

    def run(self, steps: Steps) -> None:
        """Make them here and now. Raises what a watcher raises, once all are made."""
        self.show(steps)
        self._make()
        self._raise()

    def show(self, steps: Steps) -> None:
        """From now on ``steps`` is told what is made, and first of what was made already."""
        with self._lock:
            steps.begin("deltas", sum(job.pair.new.size_bytes for batch in self._batches for job in batch.jobs))
            self._steps = steps
            if steps.progress is not None and self._told_count:
                self._guarded(steps.progress.advance, sum(m.whole_bytes for m in self.made[: self._told_count]))
            for made in self.made[self._told_count :]:
                self._tell(made)

    def wait(self, seconds: float | None = None) -> bool:
        """Whether they are all made, or given up, within so many seconds. Raises what a watcher raised."""
        if self._thread is not None:
            self._thread.join(seconds)
            if self._thread.is_alive():
                with self._lock:
                    self._steps = None  # the next step has begun
                return False
        self._raise()
        return True

    def _make(self) -> None:
        jobs = chain.from_iterable(batch.jobs for batch in self._batches)
        try:
            _, failed = self._maker.make(self._target, jobs, self._told, self._stopped.is_set, self._copies)
        except Exception as error:  # of a thread that nobody would hear of
            self.failed.append(str(error) or type(error).__name__)
        else:
            self.failed += failed

    def _told(self, made: DeltaMade) -> None:
        with self._lock:
            self.made.append(made)
            self._tell(made)

    def _tell(self, made: DeltaMade) -> None:
        if self._steps is None or self._steps.progress is None:
            return
        self._told_count += 1
        self._guarded(self._steps.progress.advance, made.whole_bytes)
        self._guarded(self._steps.progress.delta, made)

    def _guarded(self, tell: Callable[[T], None], what: T) -> None:
        """What others show is no reason to make no more."""
        try:
            tell(what)
        except Exception as error:
            self._told_wrong = self._told_wrong or error

    def _raise(self) -> None:
        wrong, self._told_wrong = self._told_wrong, None
        if wrong is not None:
            raise wrong
