"""Accelerators: packages beside the road that save bytes or seconds, found by the entry points that they declare.

The road is complete without any. An entry point of the group ``modelcast.accelerators`` names what plugs in. The
publisher (``producers/publish/publisher.py``) and the region agent's long link (``agents/region/long_link.py``) load
it; where there is none, a null object takes its place.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP = "modelcast.accelerators"
EXTRA_MODULES = frozenset({"numpy", "pcodec", "zstandard"})
"""What their extra installs."""

_absent: set[str] = set()  # by name, so that it is logged once


def load_accelerator(name: str) -> object | None:
    """What the entry point ``name`` points to; None: it is not declared, its package is gone, or its extra is missing.

    Raises:
        ImportError: the package is there and broken.
    """
    from importlib.metadata import entry_points  # here, as every command imports this module

    for entry in entry_points(group=GROUP, name=name):
        try:
            loaded: object = entry.load()
        except ModuleNotFoundError as error:
            if not is_absent(_package(entry), error.name or ""):
                raise
            if name not in _absent:
                _absent.add(name)
                import logging

                # A training job's own logging decides whether it is shown.
                logging.getLogger(__name__).info("the accelerator %r is not installed: no %s", name, error.name)
        else:
            return loaded
    return None


def is_absent(package: str, missing: str) -> bool:
    """Whether the module that is ``missing`` says that an accelerator's package, or its extra, is not installed."""
    return missing == package or missing.partition(".")[0] in EXTRA_MODULES


def _package(entry: "EntryPoint") -> str:
    return ".".join(entry.module.split(".")[:2])
