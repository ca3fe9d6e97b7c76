"""Where tensors lie in files that don't say so themselves, ONNX's external data, now and in the versions before."""

from collections.abc import Callable, Mapping
from pathlib import Path

from modelcast.deltas import codec as delta
from modelcast.deltas.codec import Layout
from modelcast.deltas.publish.bases.cache import BaseCache, has_digest
from modelcast.schemas.errors import ModelcastError
from modelcast.schemas.manifest import FileEntry, Manifest

MODELS_BYTES_MAX = 32 * 1024 * 1024
"""Of the models of one version that are kept or brought only to tell where the tensors lie beside them, together.

A graph without its weights is a few MiB at most. What stands inside a larger one it can tell if it is here.
"""


def is_model(path: str) -> bool:
    """Whether a file may tell where tensors lie in others."""
    return path.endswith(".onnx")


def layouts_by_digest(manifest: Manifest, places: Mapping[str, Path]) -> dict[str, Layout]:
    """The layouts of an artifact's files, as far as they or models among them tell; none where they can't be read.

    Args:
        manifest: the artifact's.
        places: where its files lie, by digest.
    """
    files = {f.path: places[f.digest] for f in manifest.files if f.digest in places}
    try:
        found = delta.layouts_among(files, {f.path: f.size_bytes for f in manifest.files})
    except (ModelcastError, OSError):
        return {}
    return {f.digest: found[f.path] for f in manifest.files if f.path in found}


class OldLayouts:
    """Where tensors lie in a version that deltas start from. A hint: without it a delta is larger, never wrong.

    Args:
        cache: where its files are kept, perhaps; what is brought is kept there, too.
        fetch: brings a file of the origin into a folder, checked.
        size_min_bytes: smaller files that are no models are no bases.
        model_size_max_bytes: larger models are not brought, and never such as exceed ``MODELS_BYTES_MAX``.
    """

    def __init__(
        self,
        cache: BaseCache,
        fetch: Callable[[FileEntry, Path], Path | None],
        *,
        size_min_bytes: int,
        model_size_max_bytes: int,
    ) -> None:
        self._cache, self._fetch = cache, fetch
        self._size_min_bytes, self._model_size_max_bytes = size_min_bytes, model_size_max_bytes

    def of(self, old: Manifest) -> dict[str, Layout | None]:
        """By path; None: a model that is known to hold none itself. Never raises: what can't be had is left out."""
        try:
            with self._cache.scratch() as folder:
                lie = self._places(old, folder)
                found = delta.layouts_among(lie, {f.path: f.size_bytes for f in old.files})
        except (ModelcastError, OSError, ValueError):
            return {}
        return {**dict.fromkeys(filter(is_model, lie)), **found}

    def _places(self, old: Manifest, folder: Path) -> dict[str, Path]:
        found: dict[str, Path] = {}
        left = MODELS_BYTES_MAX
        for file in sorted(old.files, key=lambda f: f.size_bytes):
            path = None
            if is_model(file.path) and file.size_bytes <= left:
                left -= file.size_bytes
                path = self._proven(file, folder)
            elif file.size_bytes >= self._size_min_bytes:
                path = self._cache.find(file.digest, file.size_bytes)
            if path is not None:
                found[file.path] = path
        return found

    def _proven(self, model: FileEntry, folder: Path) -> Path | None:
        kept = self._cache.find(model.digest, model.size_bytes)
        if kept is not None and has_digest(kept, model.digest):
            return kept
        if kept is not None:
            self._cache.drop(model.digest)
        if model.size_bytes > self._model_size_max_bytes:
            return None
        brought = self._fetch(model, folder)
        return (self._cache.take(brought, model.digest) or brought) if brought is not None else None
