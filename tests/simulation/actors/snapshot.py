"""What a region reports: one page, for its pods are few."""

from modelcast.agents.region.replica import Replica
from modelcast.schemas.records import ModelAck


def of(replica: Replica, worker: str, sequence: int, now: float) -> ModelAck:
    """The snapshot of ``replica``."""
    saved, target = replica.saved, replica.target
    now_us = int(now * 1e6)
    transfer = replica.transfers.get(replica.digest)
    staged = replica.wished_memory().staged
    return ModelAck(
        registry_id=saved.registry_id,
        model=saved.model,
        region=saved.region,
        worker=worker,
        epoch=saved.epoch,
        sequence=sequence,
        page=0,
        pages=1,
        generation=replica.generation,
        version=target.version if target else None,
        manifest_digest=replica.digest,
        state=replica.state,
        reported_at_us=now_us,
        staged_generation=staged.generation if staged else 0,
        staged_version=staged.version if staged else None,
        pods=tuple(replica.pod_report(name, now_us, now) for name in sorted(replica.pods)),
        pods_expected=len(replica.pods),
        bytes_moved=transfer.bytes_moved if transfer else 0,
        bytes_saved=transfer.bytes_saved if transfer else 0,
        bytes_total=transfer.bytes_total if transfer else 0,
        attempts=replica.failures.get(replica.digest, 0),
        error=replica.error,
    )
