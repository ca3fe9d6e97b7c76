"""The scores that a version brings along, for a comparison with those that it gives to live requests.

``modelcast/reference.json`` of its artifact holds ``{"scores": [0.12, 0.93, ...]}``: what the version answered to a
set that its users' requests should look like, a number for each.
"""

import json
import math
from typing import TYPE_CHECKING

from modelcast.schemas.digests import sha256_of
from modelcast.schemas.errors import ContentError, NotFound
from modelcast.schemas.evidence.gates import SCORE_BINS
from modelcast.schemas.evidence.predictions import score_bin

if TYPE_CHECKING:
    from modelcast.schemas.log.fold import ModelLog
    from modelcast.schemas.ports import ObjectStore

REFERENCE_FILE = "modelcast/reference.json"
REFERENCE_SIZE_MAX = 16 * 1024 * 1024
SCORES_MIN = 1000
"""Fewer say too little about the tails: the reference counts as known."""


def reference_bins(body: bytes) -> tuple[int, ...]:
    """How many of the scores fall into each bin.

    Raises:
        ContentError: it is no reference.
    """
    hint = f'{{"scores": [0.12, ...]}}, {SCORES_MIN} finite numbers at least'
    try:
        document = json.loads(body)
        scores = [float(score) for score in document["scores"]]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ContentError(f"not a reference: {str(error)[:200]}", subject=REFERENCE_FILE, hint=hint) from None
    if len(scores) < SCORES_MIN or not all(map(math.isfinite, scores)):
        raise ContentError(f"a reference of {len(scores)} scores, or not all are finite", subject=REFERENCE_FILE,
                           hint=hint)  # fmt: skip
    bins = [0] * SCORE_BINS
    for score in scores:
        bins[score_bin(score)] += 1
    return tuple(bins)


def read_reference(origin: "ObjectStore", log: "ModelLog", version: int) -> tuple[int, ...]:
    """The reference of a published version, by bin.

    Raises:
        NotFound: there is no such version, or it has no reference.
        ContentError: the reference is none.
    """
    from modelcast.consumers.fetch import read_manifest
    from modelcast.schemas import keys

    name = f"{log.model}/{version}"
    update = log.updates.get(version)
    if update is None:
        raise NotFound("no such version", subject=name, hint=f"modelcast history {log.model}")
    manifest = read_manifest(origin, update.artifact.manifest_digest, update.artifact.manifest_key)
    file = next((each for each in manifest.files if each.path == REFERENCE_FILE), None)
    if file is None:
        hint = f'publish it with {REFERENCE_FILE}: {{"scores": [0.12, ...]}}, or leave the gate "drift" out'
        raise NotFound("it brings no reference to compare with", subject=name, hint=hint)
    found = origin.get(keys.blob(file.digest), size_max=REFERENCE_SIZE_MAX)
    if found is None:
        raise NotFound(
            "its reference is not in the origin",
            subject=name,
            hint="publish the version again: it uploads what is missing",
        )
    if sha256_of(found.body) != file.digest:
        raise ContentError("the reference in the origin is not what was published", subject=name)
    return reference_bins(found.body)
