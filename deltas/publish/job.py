"""Deltas under way, beside whatever else a publication does."""

from collections.abc import Callable, Sequence
from itertools import chain
from threading import Event, Lock, Thread
from typing import TypeVar

from modelcast.deltas.publish.bases.copies import Copies
from modelcast.deltas.publish.builder import DeltaBuilder
from modelcast.deltas.publish.reports import DeltaMade
from modelcast.deltas.publish.targets import DeltaBatch, DeltaTarget
from modelcast.producers import StepTimer

T = TypeVar("T")


class DeltaJob:
    """Makes batches, one delta after the other, and shows progress of it.

    Args:
        builder: makes them.
        target: of what.
        batches: in this order.
        copies: of the target's files.
        stopped: once it is set, what is under way ends soon.

    Attributes:
        made: what lies in the store because of it.
        failed: what could not be made, and why.
    """

    def __init__(
        self, builder: DeltaBuilder, target: DeltaTarget, batches: Sequence[DeltaBatch], copies: Copies, stopped: Event
    ) -> None:
        self._builder, self._target, self._batches = builder, target, batches
        self._copies, self._stopped = copies, stopped
        self._timer: StepTimer | None = None
        self._watcher_error: Exception | None = None  # what a watcher raised
        self._thread: Thread | None = None
        self._shown_count = 0  # of those made
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

    def run(self, timer: StepTimer) -> None:
        """Make them here and now. Raises what a watcher raises, once all are made."""
        self.show(timer)
        self._make()
        self._raise()

    def show(self, timer: StepTimer) -> None:
        """From now on ``timer`` shows what is made, and first what was made already."""
        with self._lock:
            timer.begin("deltas", sum(d.pair.new.size_bytes for batch in self._batches for d in batch.deltas))
            self._timer = timer
            if timer.progress is not None and self._shown_count:
                self._guarded(timer.progress.advance, sum(m.whole_bytes for m in self.made[: self._shown_count]))
            for made in self.made[self._shown_count :]:
                self._show_made(made)

    def wait(self, seconds: float | None = None) -> bool:
        """Whether they are all made, or given up, within so many seconds. Raises what a watcher raised."""
        if self._thread is not None:
            self._thread.join(seconds)
            if self._thread.is_alive():
                with self._lock:
                    self._timer = None  # the next step has begun
                return False
        self._raise()
        return True

    def _make(self) -> None:
        planned = chain.from_iterable(batch.deltas for batch in self._batches)
        try:
            _, failed = self._builder.make(self._target, planned, self._on_made, self._stopped.is_set, self._copies)
        except Exception as error:  # of a thread, which would go unnoticed
            self.failed.append(str(error) or type(error).__name__)
        else:
            self.failed += failed

    def _on_made(self, made: DeltaMade) -> None:
        with self._lock:
            self.made.append(made)
            self._show_made(made)

    def _show_made(self, made: DeltaMade) -> None:
        if self._timer is None or self._timer.progress is None:
            return
        self._shown_count += 1
        self._guarded(self._timer.progress.advance, made.whole_bytes)
        self._guarded(self._timer.progress.added, made)

    def _guarded(self, show: Callable[[T], None], what: T) -> None:
        """What others show is no reason to make no more."""
        try:
            show(what)
        except Exception as error:
            self._watcher_error = self._watcher_error or error

    def _raise(self) -> None:
        wrong, self._watcher_error = self._watcher_error, None
        if wrong is not None:
            raise wrong
