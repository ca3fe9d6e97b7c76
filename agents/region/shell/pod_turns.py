"""A pod loads one model at a time, as far as this worker orders it: several models share its memory and its engine."""

from collections import defaultdict
from collections.abc import Callable


class PodTurns:
    """Which model each pod loads, and which models wait for it. All reconcilers of a worker share one."""

    def __init__(self) -> None:
        self._loads: dict[str, str] = {}
        self._out: set[str] = set()  # of those, the pods that take no traffic meanwhile
        self._waiting: defaultdict[str, dict[str, Callable[[], None]]] = defaultdict(dict)
        self._watching: dict[str, Callable[[], None]] = {}

    def begin(self, pod: str, model: str, on_free: Callable[[], None], *, gapless: bool = True) -> str:
        """The model that the pod loads now; "": none did, and from here to ``end`` it is ``model``.

        ``on_free`` is called once the pod is free, in the order in which models asked.
        """
        if other := self._loads.get(pod, ""):
            self._waiting[pod][model] = on_free
            return other
        self._loads[pod] = model
        if not gapless:
            self._out.add(pod)
        return ""

    def end(self, pod: str) -> None:
        """The pod loads nothing more."""
        self._loads.pop(pod, None)
        self._out.discard(pod)
        for on_free in list(self._waiting.pop(pod, {}).values()):
            on_free()
        watching, self._watching = self._watching, {}
        for on_change in watching.values():
            on_change()

    def out_for_others(self, model: str) -> dict[str, str]:
        """Pods that take no traffic, also not for ``model``, while they load another one, which is named."""
        return {pod: self._loads[pod] for pod in sorted(self._out) if self._loads[pod] != model}

    def watch(self, model: str, on_change: Callable[[], None]) -> None:
        """Call ``on_change`` once, when a pod has loaded what it loads now."""
        self._watching[model] = on_change
