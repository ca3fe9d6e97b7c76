"""What regions report of a model, and whether a tracker makes of it what the slow twin does."""

from collections.abc import Sequence

from modelcast.schemas.log.fold import ModelLog
from modelcast.schemas.records import ModelAck, VersionState
from tests.agents.tracker.makers import pages, pod
from tests.agents.tracker.rig import REGIONS, Rig
from tests.agents.tracker.twin import twin


def agrees(state: VersionState | None, log: ModelLog, acks: Sequence[ModelAck]) -> bool:
    """Whether a state is what the twin says (regions are heard of)."""
    if state is None:
        return False
    now_us = state.updated_at_us
    truth = twin(log, acks, REGIONS, dict.fromkeys(REGIONS, now_us), now_us)
    mine = [
        (r.region, r.state, r.served_version, r.pods_serving, r.pods_expected, r.left_out, {p.pod for p in r.pods})
        for r in state.regions
    ]
    assert mine == [
        (r.region, r.state, r.served_version, r.pods_serving, r.pods_expected, r.left_out, set(r.pods))
        for r in truth.regions
    ]
    assert (state.consistent_version, state.skew) == (truth.consistent_version, truth.skew)
    assert state.head_generation == log.head
    return True


def serving(rig: Rig, region: str, model: str, version: int, sequence: int = 1, pods: int = 2) -> list[ModelAck]:
    """A region's snapshot: so many pods serve a version."""
    reports = [pod(f"{region}-{n}", version, version) for n in range(pods)]
    return pages(
        region,
        reports,
        generation=version,
        version=version,
        sequence=sequence,
        model=model,
        registry_id=rig.registry_id,
    )


def everywhere(rig: Rig, model: str, version: int = 1, sequence: int = 1) -> list[ModelAck]:
    """A snapshot of each region: two pods serve a version."""
    return [a for region in REGIONS for a in serving(rig, region, model, version, sequence)]
