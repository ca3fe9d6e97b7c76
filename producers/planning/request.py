"""What a caller of ``publish`` asks for, checked before anything is read."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import cast

from modelcast.producers.planning.arguments import (
    activation_of,
    labels_of,
    metrics_of,
    region_names_of,
    switch_of,
    text_of,
)
from modelcast.schemas import keys
from modelcast.schemas.digests import sha256_of
from modelcast.schemas.errors import UsageError
from modelcast.schemas.names import check_model, check_version
from modelcast.schemas.records import Activation, ArtifactRef

LABELS_MAX = 256
NOT_READ = ArtifactRef("", "", "", 0, 0, "")


@dataclass(frozen=True, slots=True)
class PublishRequest:
    """What is to be published, and how, once it was checked; ``artifact`` is known when the files have been read."""

    model: str
    artifact: ArtifactRef = NOT_READ
    version: int | None = None
    placement: tuple[str, ...] = ()
    activation: Activation = Activation.IMMEDIATE
    metrics: Mapping[str, float] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    publisher: str = ""
    allow_version_jump: bool = False
    must_earn: bool = False  # by the settings: no version is served at once where another one is

    @classmethod
    def asked(
        cls,
        *,
        model: object,
        version: object,
        placement: object,
        activation: object,
        metrics: object,
        labels: object,
        publisher: object,
        allow_version_jump: object,
        must_earn: bool = False,
    ) -> "PublishRequest":
        """A request from what a caller gave, of whatever types.

        Raises:
            UsageError: something does not make sense.
        """
        request = cls(
            model=check_model(cast("str", model)),
            version=check_version(cast("int", version)) if version is not None else None,
            placement=region_names_of(placement),
            activation=activation_of(activation),
            metrics=metrics_of(metrics),
            labels=labels_of(labels),
            publisher=text_of("publisher", publisher),
            allow_version_jump=switch_of("allow_version_jump", allow_version_jump),
            must_earn=must_earn,
        )
        if len(set(request.placement)) != len(request.placement):
            raise UsageError("a region stands twice in the placement", subject=request.model, hint="name it once")
        if len(request.metrics) > LABELS_MAX or len(request.labels) > LABELS_MAX:
            raise UsageError(f"more than {LABELS_MAX} metrics or labels", subject=request.model, hint="leave some out")
        return request

    def of(self, artifact: ArtifactRef) -> "PublishRequest":
        """The same request with its bytes known."""
        return replace(self, artifact=artifact)

    @property
    def intent_key(self) -> str:
        """Where the intent of this publication lies: the same for a rerun, another for other bytes or options.

        Metrics, labels and publisher are left out: a training job that is run again may measure other times.
        """
        named = [self.artifact.manifest_digest, self.version, sorted(self.placement), self.activation]
        return keys.intent(self.model, sha256_of(json.dumps(named).encode()))
