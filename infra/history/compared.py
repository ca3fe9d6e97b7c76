"""Two versions of a model, compared from what the origin store holds. Blocking."""

from collections.abc import Mapping

from modelcast.infra.history.tensor_headers import has_header, tensor_shapes
from modelcast.schemas.errors import ContentError, NotFound
from modelcast.schemas.history.difference import TensorShape, VersionDifference, version_difference
from modelcast.schemas.manifest import MANIFEST_SIZE_MAX, FileEntry, Manifest
from modelcast.schemas.ports import ObjectStore
from modelcast.schemas.records import ModelUpdate

HEADERS_MAX = 64
"""Files whose headers are read of each version; a model of more is compared by files alone."""


def compare_versions(store: ObjectStore, before: ModelUpdate, after: ModelUpdate) -> VersionDifference:
    """The second version against the first: files, bytes, tensors of safetensors files, metrics, labels.

    Args:
        store: the origin store, which holds both.
        before: a version of a model.
        after: another of the same.

    Raises:
        NotFound: a manifest is not in the store.
        ContentError: a manifest is damaged.
    """
    old, new = _manifest(store, before), _manifest(store, after)
    same = {f.path for f in old.files} & {f.path for f in new.files if f in old.files}
    wanted = [[f for f in each.files if has_header(f) and f.path not in same] for each in (old, new)]
    unread: list[str] = []
    if max(map(len, wanted)) > HEADERS_MAX:
        return version_difference((before, after), (old, new), unread=[f"more than {HEADERS_MAX} files hold tensors"])
    found = tuple(
        {f.path: shapes for f in each if (shapes := _shapes(store, f, unread)) is not None} for each in wanted
    )
    return version_difference((before, after), (old, new), (found[0], found[1]), unread)


def _shapes(store: ObjectStore, file: FileEntry, unread: list[str]) -> Mapping[str, TensorShape] | None:
    try:
        return tensor_shapes(store, file)
    except ContentError as error:
        unread.append(f"{file.path}: {error.message}")
        return None


def _manifest(store: ObjectStore, update: ModelUpdate) -> Manifest:
    subject = f"{update.model}/{update.version}"
    found = store.get(update.artifact.manifest_key, size_max=MANIFEST_SIZE_MAX)
    if found is None:
        raise NotFound("its manifest is not in the store", subject=subject, hint="it was deleted there")
    return Manifest.decode(found.body, expected_digest=update.artifact.manifest_digest)
