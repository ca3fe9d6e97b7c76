"""A pod loads one model at a time, as far as this worker orders it: several models share its memory and its engine."""

from collections import defaultdict
from collections.abc import Callable


class PodTurns:
    """Which model each pod loads, and who waits for that. All reconcilers of a worker share one."""

    def __init__(self) -> None:
        self._loads: dict[str, str] = {}
        self._waiting: defaultdict[str, dict[str, Callable[[], None]]] = defaultdict(dict)

    def begin(self, pod: str, model: str, on_free: Callable[[], None]) -> str:
        """The model that the pod loads now; "": none did, and from here to ``end`` it is ``model``.

        ``on_free`` is called once the pod is free, in the order in which models asked.
        """
        if other := self._loads.get(pod, ""):
            self._waiting[pod][model] = on_free
            return other
        self._loads[pod] = model
        return ""

    def end(self, pod: str) -> None:
        """The pod loads nothing more."""
        self._loads.pop(pod, None)
        for on_free in list(self._waiting.pop(pod, {}).values()):
            on_free()
