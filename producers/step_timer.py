"""The steps of a publication, timed."""

import time
from dataclasses import dataclass, field

from modelcast.infra.telemetry.metrics import PUBLISH_SECONDS
from modelcast.producers.progress import PublishProgress
from modelcast.producers.spans import TimedStep


@dataclass(slots=True)
class StepTimer:
    """Times the steps, one after the other, and tells ``progress`` of each; ``seconds`` by step name."""

    progress: PublishProgress | None
    seconds: dict[str, float] = field(default_factory=dict)
    steps: list[TimedStep] = field(default_factory=list)
    _name: str = ""
    _began: float = 0.0

    def begin(self, name: str, total_bytes: int = 0) -> None:
        """End the step before, if any, and begin one."""
        self.end()
        self._name, self._began = name, time.perf_counter()
        if self.progress:
            self.progress.step(name, total_bytes)

    def end(self) -> None:
        """End the step that is under way."""
        if self._name:
            took = time.perf_counter() - self._began
            self.seconds[self._name] = self.seconds.get(self._name, 0.0) + took
            PUBLISH_SECONDS.labels(self._name).observe(took)
            ended_ns = time.time_ns()
            self.steps.append(TimedStep(self._name, ended_ns - int(took * 1e9), ended_ns))
        self._name = ""
