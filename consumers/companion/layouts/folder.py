"""A plain folder: ``<model>/<version>/…``, and the symbolic link ``<model>/current`` that leads to one of them."""

from modelcast.consumers.companion.layouts.version_layout import Files, VersionLayout, folder_of, places_of
from modelcast.consumers.pod_clients.port import LoadOrder

CURRENT = "current"


def folder_layout(files: Files, order: LoadOrder) -> VersionLayout:
    """Every file at its own path."""
    return VersionLayout(folder_of(order.version), places_of(files))
