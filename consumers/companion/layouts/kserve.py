"""KServe: ``<model>/<version>/…`` beside ``<model>/modelcast.json``, which names the version to load; written last.

How the files are loaded is said by the server's model class (``modelcast.consumers.kserve``), so there are no hints.
"""

from modelcast.consumers.companion.layouts.version_layout import Files, VersionLayout, folder_of, places_of
from modelcast.consumers.pod_clients.port import LoadOrder

VERSION_FILE = "modelcast.json"


def kserve_layout(files: Files, order: LoadOrder) -> VersionLayout:
    """Every file at its own path; ``settings`` is what the version file must say."""
    folder = folder_of(order.version)
    settings = {"version": order.version, "digest": order.manifest_digest, "folder": folder}
    return VersionLayout(folder, places_of(files), settings)
