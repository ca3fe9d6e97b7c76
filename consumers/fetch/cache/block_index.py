"""Where the blocks of this machine's files lie."""

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from modelcast.consumers.artifacts.sources import ArtifactMissing
from modelcast.consumers.fetch.accelerator import HeldArtifacts
from modelcast.schemas.errors import VerificationFailed

REUSE_FROM_BYTES = 256 * 1024
"""Blocks of smaller files are not looked for."""


def block_index(cache: HeldArtifacts, here: Mapping[str, Path], *, without: str) -> dict[str, tuple[str, int]]:
    """Block digest → (file digest, block number), of all artifacts but one.

    Args:
        here: where files lie, by digest.
        without: the manifest digest of the artifact that is being fetched.
    """
    index: dict[str, tuple[str, int]] = {}
    for manifest_digest in cache.digests():
        if manifest_digest == without:
            continue
        with suppress(ArtifactMissing, VerificationFailed):
            for file in cache.manifest(manifest_digest).files:
                if file.digest in here and file.size_bytes >= REUSE_FROM_BYTES:
                    index.update({block: (file.digest, number) for number, block in enumerate(file.blocks)})
    return index
