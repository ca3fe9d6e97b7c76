"""The tracker's ports for tests: what a test does not bring itself is absent."""

from concurrent.futures import Executor, ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

from modelcast.agents.tracker.ports import TrackerPorts

_THREADS = ThreadPoolExecutor(8)


def ports_of(*, sender: Any = None, view: Any = None, stores: Executor = _THREADS) -> TrackerPorts:
    """Ports with this sender and this view."""

    async def nothing(*_: object) -> dict[str, bytes]:
        return {}

    return TrackerPorts(
        sender=sender or SimpleNamespace(send=lambda *_: None, dead_letter=lambda *_, **__: None),
        open_view=lambda registry_id: view,
        published=SimpleNamespace(published=nothing),
        stores=stores,
    )
