"""Whether a pod obeys an order: a pure decision on what it has accepted before and what it serves now."""

from dataclasses import dataclass, replace
from enum import Enum

from modelcast.consumers.pod_clients.port import CANDIDATE, LoadOrder, PodRefused


@dataclass(frozen=True, slots=True)
class Accepted:
    """What a pod has promised for a lane of a model. (``epoch``, ``generation``) never goes down, not by a restart."""

    registry_id: str
    epoch: int
    generation: int
    manifest_digest: str | None  # None: an unload, or a promotion: no order has named bytes under the pair
    served: LoadOrder | None  # last served; a restarted pod may go back to it, for that lowers nothing


class Admission(Enum):
    """What an order that is obeyed leads to."""

    LOAD = "load"
    ADOPT = "adopt"  # the bytes are being served: only the authority is newer
    ALREADY = "already"  # done before


def admission_of(order: LoadOrder, accepted: Accepted | None, serving: LoadOrder | None) -> Admission:
    """Decide on a load order.

    Raises:
        PodRefused: ``foreign_registry``, ``stale`` (a lower pair), or ``conflict`` (the pair with other bytes).
    """
    if accepted is not None:
        check_pair(order.model, accepted, epoch=order.epoch, generation=order.generation)
        check_registry(order, accepted)
        same_pair = (order.epoch, order.generation) == (accepted.epoch, accepted.generation)
        if same_pair and accepted.manifest_digest not in {None, order.manifest_digest}:
            raise PodRefused(
                f"(epoch {order.epoch}, generation {order.generation}) was accepted with {accepted.manifest_digest}",
                code="conflict",
                subject=order.model,
            )
    if serving is not None and serving.registry_id == order.registry_id and order.generation < serving.generation:
        # A new owner that read us before its predecessor's last order arrived: what is served never goes back.
        raise PodRefused(
            f"generation {order.generation} is lower than generation {serving.generation}, which is served",
            code="stale",
            subject=order.model,
        )
    if serving is None or (serving.manifest_digest, serving.version) != (order.manifest_digest, order.version):
        return Admission.LOAD
    if (serving.epoch, serving.generation) == (order.epoch, order.generation):
        return Admission.ALREADY
    return Admission.LOAD if order.reload else Admission.ADOPT


def check_pair(model: str, accepted: Accepted, *, epoch: int, generation: int) -> None:
    """Raise ``PodRefused`` (``stale``) if the pair is lower than the accepted one; the epoch counts first."""
    if (epoch, generation) < (accepted.epoch, accepted.generation):
        raise PodRefused(
            f"(epoch {epoch}, generation {generation}) is lower than the accepted "
            f"(epoch {accepted.epoch}, generation {accepted.generation})",
            code="stale",
            subject=model,
        )


def check_registry(order: LoadOrder, accepted: Accepted) -> None:
    """Raise ``PodRefused`` (``foreign_registry``) if the order is of another registry than the one obeyed."""
    if accepted.registry_id != order.registry_id:
        raise PodRefused(
            f"order of registry {order.registry_id!r}, this pod obeys {accepted.registry_id!r} for this model",
            code="foreign_registry",
            subject=order.model,
            hint="the store was wiped or restored; clear the pod's state folder only if that was meant",
        )


def check_epoch(model: str, other: Accepted, epoch: int) -> None:
    """Raise ``PodRefused`` (``stale``) for an owner that was replaced, as the model's ``other`` lane knows already."""
    if epoch < other.epoch:
        message = f"epoch {epoch} is lower than epoch {other.epoch}, accepted before"
        raise PodRefused(message, code="stale", subject=model)


def accepted_by_promotion(
    order: LoadOrder, old: LoadOrder | None, candidate: Accepted | None
) -> tuple[Accepted, Accepted]:
    """What a pod promises for control and candidate lane where ``order`` promotes what the candidate lane serves.

    ``order`` says nothing of what the candidate lane is to hold: under the same pair its own order may name other
    bytes, where the pod has missed the promotion and the next rollout's start.

    Args:
        order: for the control.
        old: the control's until now; it goes on in the candidate lane, under a pair that no order of before has.
        candidate: what was accepted for that lane.
    """
    before = (candidate.epoch, candidate.generation) if candidate else (0, 0)
    epoch, generation = max((order.epoch, order.generation), before)
    kept = replace(old, lane=CANDIDATE, epoch=epoch, generation=generation, reload=False) if old else None
    promise = Accepted(order.registry_id, order.epoch, order.generation, order.manifest_digest, order)
    named = kept.manifest_digest if kept and (epoch, generation) == before else None
    return promise, Accepted(order.registry_id, epoch, generation, named, kept)
