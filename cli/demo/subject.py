"""One model of the demo: its trained versions, what they answer, who asks them, and what the tracker reports."""

import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from modelcast.cli.demo.answers import Answers
from modelcast.cli.demo.digits import TrainedVersion, train
from modelcast.cli.demo.traffic import Traffic
from modelcast.cli.demo.watch import Watch
from modelcast.cli.demo.wide import train_wide
from modelcast.infra.settings import Settings
from modelcast.schemas.errors import NotConverged

SMALL, LARGE = "digits", "digits-wide"
TRAINING_SECONDS_MAX = 600.0


@dataclass(frozen=True, slots=True)
class Trained:
    """All versions of a model, from 1."""

    model: str
    versions: Mapping[int, TrainedVersion]
    answers: Answers


@dataclass(frozen=True, slots=True, eq=False)
class Subject:
    """A trained model among the servers."""

    trained: Trained
    traffic: Traffic
    watch: Watch

    @classmethod
    def of(cls, trained: Trained, settings: Settings, *, rate: float) -> "Subject":
        """Watched from now on; not asked yet. ``rate``: predictions a second a pod."""
        pods = [url for region in settings.regions.values() for url in region.pod_urls]
        traffic = Traffic(pods, trained.model, trained.answers, rate=rate)
        return cls(trained, traffic, Watch(settings, trained.model))


class ThreadedTraining:
    """Both models, trained in a thread while the stack comes up; the thread ends with the block.

    Args:
        folder: for the model files.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ended = threading.Event()
        self._threads = ThreadPoolExecutor(1, thread_name_prefix="train")
        self._small = self._threads.submit(self._train, SMALL, train, 10_000)
        self._large = self._threads.submit(self._train, LARGE, train_wide, 100)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._threads.shutdown(cancel_futures=True)

    def small(self) -> Trained:
        """Once it is there.

        Raises:
            NotConverged: the training takes longer than ``TRAINING_SECONDS_MAX``.
        """
        return _result(self._small, SMALL)

    def large(self) -> Trained:
        """Like ``small``."""
        return _result(self._large, LARGE)

    def _train(self, model: str, train: Callable[[Path], Iterator[TrainedVersion]], images_max: int) -> Trained:
        versions: dict[int, TrainedVersion] = {}
        for number, version in enumerate(train(self._folder / model), start=1):
            versions[number] = version
            if self._ended.is_set():
                raise InterruptedError("the demo has ended")
        answers = Answers({n: v.folder for n, v in versions.items()}, images_max=images_max)
        return Trained(model, versions, answers)


def _result(training: Future[Trained], model: str) -> Trained:
    try:
        return training.result(TRAINING_SECONDS_MAX)
    except TimeoutError:
        raise NotConverged(f"not trained within {TRAINING_SECONDS_MAX:.0f} s", subject=model) from None
