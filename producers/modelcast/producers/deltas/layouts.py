"""Where tensors lie in files that don't say so themselves: ONNX's external data."""

from collections.abc import Mapping
from pathlib import Path

from modelcast.infra import delta
from modelcast.infra.delta.layout import Layout
from modelcast.schemas.errors import ModelcastError
from modelcast.schemas.manifest import Manifest


def layouts_by_digest(manifest: Manifest, places: Mapping[str, Path]) -> dict[str, Layout]:
    """The layouts of an artifact's files, as far as models among them tell; none where they can't be read.

    Args:
        manifest: the artifact's.
        places: where its files lie, by digest.
    """
    files = {f.path: places[f.digest] for f in manifest.files if f.digest in places}
    if not any(path.endswith(".onnx") for path in files):
        return {}
    try:
        found = delta.layouts_among(files)
    except (ModelcastError, OSError):
        return {}
    return {f.digest: found[f.path] for f in manifest.files if f.path in found}
