"""The tracker's ports for tests: what a test does not bring itself is absent."""

from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

from modelcast.agents.tracker.ports import TrackerPorts
from modelcast.schemas.errors import NotFound

_THREADS = ThreadPoolExecutor(8)


def unreadable(region: str, model: str) -> int:
    raise NotFound("the settings name no bucket", subject=region)


def ports_of(
    *,
    sender: Any = None,
    view: Any = None,
    stores: Executor = _THREADS,
    epoch_of: Callable[[str, str], int] = unreadable,
) -> TrackerPorts:
    """Ports with this sender and this view."""

    async def nothing(*_: object) -> dict[str, bytes]:
        return {}

    return TrackerPorts(
        sender=sender or SimpleNamespace(send=lambda *_: None, dead_letter=lambda *_, **__: None),
        open_view=lambda registry_id: view,
        published=SimpleNamespace(published=nothing, probe_states=nothing),
        stores=stores,
        regions=stores,
        epoch_of=epoch_of,
    )
