"""What a caller asks for."""

from dataclasses import replace

from modelcast.producers.planning.request import PublishRequest
from modelcast.schemas import keys
from modelcast.schemas.records import Activation, ArtifactRef


def test_the_intent_is_the_same_for_a_rerun_and_another_for_other_options() -> None:
    digest = "sha256:" + "a" * 64
    artifact = ArtifactRef("origin", keys.manifest(digest), digest, 1, 1, "")
    plain = PublishRequest("fraud", artifact)
    same = [PublishRequest("fraud", artifact, metrics={"seconds": 9.0}, labels={"at": "noon"}, publisher="ann")]
    others = [
        PublishRequest("churn", artifact),
        PublishRequest("fraud", artifact, version=1),
        PublishRequest("fraud", artifact, placement=("eu",)),
        PublishRequest("fraud", artifact, activation=Activation.STAGED),
        PublishRequest("fraud", replace(artifact, manifest_digest="sha256:" + "b" * 64)),
    ]
    assert {r.intent_key for r in same} == {plain.intent_key}
    assert len({plain.intent_key, *(r.intent_key for r in others)}) == 1 + len(others)
