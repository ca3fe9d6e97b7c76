"""What a region does with what is published: fetching, serving, and what people serve with."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from modelcast.consumers.watcher import VersionUpdate as VersionUpdate
    from modelcast.consumers.watcher import Watcher as Watcher


def __getattr__(name: str) -> Any:
    """``from modelcast.consumers import Watcher``, paid for by those who use it."""
    if name in {"Watcher", "VersionUpdate"}:
        from modelcast.consumers import watcher

        return getattr(watcher, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
