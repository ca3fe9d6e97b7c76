"""What a record asks leave for: one path for each thing that it does, of a fixed number of parts each.

``publish/<model>/<immediate|staged>/<region|~all>``, ``command/<kind>/<model>/<region|~all>``,
``ack/<region>/<model>``, ``beat/<region>``. A signer needs leave for every path of his record. No name holds a ``/`` or
begins with ``~``.
"""

from collections.abc import Sequence

from modelcast.schemas.records import (
    ALL_REGIONS,
    Activation,
    ModelAck,
    ModelCommand,
    ModelUpdate,
    RegionHeartbeat,
)

EVERYWHERE = "~all"
"""As a path's region: all of them, also those still to come."""

Signable = ModelUpdate | ModelCommand | ModelAck | RegionHeartbeat
"""Records that are signed."""


def publish_subjects(model: str, activation: Activation, placement: Sequence[str]) -> tuple[str, ...]:
    """The paths that a publication needs leave for; ``placement`` is empty where all regions may have it."""
    paths = [f"publish/{model}/{activation.value.lower()}/{region}" for region in placement or (EVERYWHERE,)]
    return tuple(dict.fromkeys(paths))


def subjects_of(record: Signable) -> tuple[str, ...]:
    """The paths that ``record`` needs leave for, each once, in order of its regions."""
    match record:
        case ModelUpdate():
            return publish_subjects(record.model, record.activation, record.placement)
        case ModelCommand():
            kind = record.kind.value.lower()
            regions = ["" if target.region == ALL_REGIONS else target.region for target in record.targets]
            paths = [f"command/{kind}/{record.model}/{region or EVERYWHERE}" for region in regions]
        case ModelAck():
            paths = [f"ack/{record.region}/{record.model}"]
        case RegionHeartbeat():
            paths = [f"beat/{record.region}"]
    return tuple(dict.fromkeys(paths))
