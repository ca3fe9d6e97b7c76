"""The reference that a version brings along: read whole, verified, and counted by bin."""

import json
from dataclasses import replace

import pytest

from modelcast.cli.reference_scores import REFERENCE_FILE, SCORES_MIN, read_reference, reference_bins
from modelcast.infra.stores import MemoryStore
from modelcast.schemas import keys
from modelcast.schemas.errors import ContentError, NotFound
from modelcast.schemas.evidence.predictions import score_bin
from modelcast.schemas.log.fold import ModelLog
from modelcast.schemas.manifest import Manifest
from modelcast.schemas.records import ArtifactRef
from tests.consumers.fetch.publishing import publish

BODY = json.dumps({"scores": [0.25] * SCORES_MIN + [0.93, 2]}).encode()


def with_reference(origin: MemoryStore, log: ModelLog) -> tuple[ModelLog, Manifest]:
    manifest = publish(origin, {"w": b"weights", REFERENCE_FILE: BODY})
    artifact = ArtifactRef("origin", keys.manifest(manifest.digest), manifest.digest, 1, 2, "")
    update = replace(log.updates[3], version=4, generation=4, event_id="e4", artifact=artifact)
    return log.apply(update), manifest


def test_its_scores_are_counted_by_bin(origin: MemoryStore, log: ModelLog) -> None:
    found = read_reference(origin, with_reference(origin, log)[0], 4)
    assert {index: count for index, count in enumerate(found) if count} == {
        score_bin(0.25): SCORES_MIN, score_bin(0.93): 1, score_bin(2): 1
    }  # fmt: skip


def test_a_version_without_one_and_a_version_that_is_none_are_told(origin: MemoryStore, log: ModelLog) -> None:
    with pytest.raises(NotFound, match="brings no reference"):
        read_reference(origin, log, 3)
    with pytest.raises(NotFound, match="no such version"):
        read_reference(origin, log, 9)


def test_bytes_that_were_not_published_are_no_reference(origin: MemoryStore, log: ModelLog) -> None:
    more, manifest = with_reference(origin, log)
    digest = next(file.digest for file in manifest.files if file.path == REFERENCE_FILE)
    origin.put(keys.blob(digest), BODY.replace(b"0.93", b"0.94"))
    with pytest.raises(ContentError, match="not what was published"):
        read_reference(origin, more, 4)


@pytest.mark.parametrize(
    "body",
    [b"{", b"[]", b'{"scores": 5}', b'{"scores": ["x"]}', b'{"scores": [0.5]}',
     json.dumps({"scores": [float("nan")] * SCORES_MIN}).encode(), b"\xff", b"[" * 10_000],
)  # fmt: skip
def test_nonsense_is_no_reference(body: bytes) -> None:
    with pytest.raises(ContentError, match="reference"):
        reference_bins(body)
