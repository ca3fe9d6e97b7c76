"""What a caller of ``publish`` asks for, checked before anything is read."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from modelcast.schemas import keys
from modelcast.schemas.digests import sha256_of
from modelcast.schemas.errors import UsageError
from modelcast.schemas.names import check_model, check_region, check_version
from modelcast.schemas.records import Activation, ArtifactRef

LABELS_MAX = 256
TEXT_MAX = 4096
NOT_READ = ArtifactRef("", "", "", 0, 0, "")


@dataclass(frozen=True, slots=True)
class Request:
    """What is to be published, and how; ``artifact`` is known once the files have been read."""

    model: str
    artifact: ArtifactRef = NOT_READ
    version: int | None = None
    placement: tuple[str, ...] = ()
    activation: Activation = Activation.IMMEDIATE
    metrics: Mapping[str, float] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    publisher: str = ""

    def __post_init__(self) -> None:
        """Check names and sizes.

        Raises:
            UsageError: something does not make sense.
        """
        check_model(self.model)
        if self.version is not None:
            check_version(self.version)
        for region in self.placement:
            check_region(region)
        if len(set(self.placement)) != len(self.placement):
            raise UsageError("a region stands twice in the placement", subject=self.model, hint="name it once")
        if len(self.metrics) > LABELS_MAX or len(self.labels) > LABELS_MAX:
            raise UsageError(f"more than {LABELS_MAX} metrics or labels", subject=self.model, hint="leave some out")
        for name, value in self.metrics.items():
            if not isinstance(value, int | float) or not math.isfinite(value):
                raise UsageError(f"metric {name!r} is {value}", subject=self.model, hint="metrics are finite numbers")
        for text in (*self.metrics, *self.labels, *self.labels.values(), self.publisher):
            if len(text) > TEXT_MAX:
                raise UsageError(f"a label of {len(text)} characters", subject=self.model, hint=f"at most {TEXT_MAX}")

    def of(self, artifact: ArtifactRef) -> "Request":
        """The same request with its bytes known."""
        return replace(self, artifact=artifact)

    @property
    def intent_key(self) -> str:
        """Where the intent of this publication lies: the same for a rerun, another for other bytes or options.

        Metrics, labels and publisher are left out: a training job that is run again may measure other times.
        """
        named = [self.artifact.manifest_digest, self.version, sorted(self.placement), self.activation]
        return keys.intent(self.model, sha256_of(json.dumps(named).encode()))
