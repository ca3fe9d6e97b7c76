"""A pod loads one model at a time, as far as this worker orders it: several models share its memory and its engine."""

from collections import defaultdict
from collections.abc import Callable

from modelcast.consumers.pod_clients.port import lane_place


class PodTurns:
    """Which model each pod loads, and which models wait for it. All reconcilers of a worker share one.

    A candidate waits for whatever the pod loads, and nothing that is to serve waits for a candidate.
    """

    def __init__(self) -> None:
        self._loads: dict[str, str] = {}
        self._candidates: dict[str, str] = {}
        self._out: set[str] = set()  # of those, the pods that take no traffic meanwhile
        self._waiting: defaultdict[str, dict[str, Callable[[], None]]] = defaultdict(dict)
        self._watching: dict[str, Callable[[], None]] = {}

    def begin(self, pod: str, model: str, on_free: Callable[[], None], *, gapless: bool = True, lane: str = "") -> str:
        """The model that the pod loads now; "": none did, and from here to ``end`` it is ``model``.

        ``on_free`` is called once the pod is free, in the order in which models asked.
        """
        other = self._loads.get(pod, "") or (self._candidates.get(pod, "") if lane else "")
        if other:
            self._waiting[pod][lane_place(model, lane)] = on_free
            return other
        if lane:
            self._candidates[pod] = model
            return ""
        self._loads[pod] = model
        if not gapless:
            self._out.add(pod)
        return ""

    def end(self, pod: str, *, lane: str = "") -> None:
        """The pod loads nothing more."""
        if lane:
            self._candidates.pop(pod, None)
        else:
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

    def watch(self, place: str, on_change: Callable[[], None]) -> None:
        """Call ``on_change`` once, when a pod has loaded what it loads now. ``place``: who asks (``lane_place``)."""
        self._watching[place] = on_change
