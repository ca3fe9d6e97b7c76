"""The steps to an artifact as the road alone would go them."""

from collections.abc import Mapping, Set
from pathlib import Path

from modelcast.consumers.fetch.accelerator import HeldArtifacts
from modelcast.consumers.fetch.cache.block_index import REUSE_FROM_BYTES, block_index
from modelcast.consumers.fetch.planning.steps import Step, Way, steps_of, without_detour
from modelcast.schemas.manifest import Manifest


def planned_steps(
    manifest: Manifest, cache: HeldArtifacts, here: Mapping[str, Path], regional: Set[str]
) -> tuple[Step, ...]:
    """How a machine would bring an artifact of which it has nothing yet.

    Args:
        cache: its artifacts.
        here: where files of this machine lie, by digest.
        regional: digests of files that the regional bucket holds.
    """
    blocks = block_index(cache, here, without=manifest.digest)
    return tuple(
        step
        if step.way in {Way.CACHE, Way.REGION}
        else without_detour(
            step,
            set(range(len(step.file.blocks))),
            blocks if step.file.size_bytes >= REUSE_FROM_BYTES else {},
        )
        for step in steps_of(manifest, cached=here.keys(), regional=regional)
    )
