"""Tables of shares for the versions of ``models.order`` and their like."""

from modelcast.schemas.traffic.request_key import RequestKey
from modelcast.schemas.traffic.table import SlowThresholds, TrafficArm, TrafficTable

SALT = "rollout-1"


def arm(version: int, digest: str, share: int) -> TrafficArm:
    return TrafficArm(version, digest, share)


def table(
    control: tuple[int, str],
    candidate: tuple[int, str] | None,
    share: int,
    *,
    model: str = "m",
    registry: str = "registry",
    generation: int = 5,
    epoch: int = 1,
    sequence: int = 1,
    key: str = "header:x-user",
    shadow: int = 0,
    not_before_us: int = 0,
    slow_us: int = 0,
) -> TrafficTable:
    """``candidate`` gets ``share`` ten-thousandths, or copies of ``shadow``; (version, digest) each."""
    candidates = (arm(*candidate, share),) if candidate and share else ()
    left = arm(*control, 10_000 - share if candidates else 10_000)
    return TrafficTable(
        model,
        registry,
        "r1",
        generation,
        epoch,
        sequence,
        SALT,
        RequestKey.parse(key),
        left,
        candidates,
        not_before_us=not_before_us,
        before=(arm(*control, 10_000),) if not_before_us else (),
        shadow=arm(*candidate, shadow) if candidate and shadow else None,
        thresholds=SlowThresholds(slow_us, slow_us, slow_us),
    )
