"""The table of shares that pods choose by, and the grant's hold on it.

Shares are ten-thousandths. A table is identified by its authority: (generation of the log's newest entry about the
rollout, epoch of the controller, sequence of its tables). A pod refuses a lower one than it has.
"""

from dataclasses import dataclass, replace
from typing import Any

from modelcast.schemas.digests import DIGEST_PATTERN, sha256_of
from modelcast.schemas.errors import ContentError, DecodeError, UsageError
from modelcast.schemas.evidence.counts import SHARES
from modelcast.schemas.names import MODEL_PATTERN, VERSION_MAX
from modelcast.schemas.traffic.grant import TrafficGrant
from modelcast.schemas.traffic.json_fields import JsonFields, json_bytes
from modelcast.schemas.traffic.request_key import RequestKey

TABLE_SIZE_MAX = 64 * 1024
CANDIDATES_MAX = 16
_FORMAT = 1

Authority = tuple[int, int, int]
"""(generation, epoch, sequence): of two tables of one model, the higher one is in force."""


@dataclass(frozen=True, slots=True)
class TrafficArm:
    """One version and its share.

    Raises:
        ContentError: version, digest or share is out of range.
    """

    version: int
    manifest_digest: str
    share: int

    def __post_init__(self) -> None:
        if not 1 <= self.version <= VERSION_MAX or not DIGEST_PATTERN.fullmatch(self.manifest_digest):
            raise ContentError(f"bad version {self.version} or digest {self.manifest_digest[:80]!r}", subject="share")
        if not 0 <= self.share <= SHARES:
            raise ContentError(f"bad share {self.share}", subject=f"version {self.version}", hint=f"0 to {SHARES}")


@dataclass(frozen=True, slots=True)
class SlowThresholds:
    """From how many microseconds on an answer counts as slow; zeros: not known yet, nothing is counted.

    Attributes:
        slow_us: the control's 99th percentile of the minutes before.
        slow_harmful_us: that, times the latency gate's ``harmful``.
        slow_harmless_us: that, times its ``harmless``.
    """

    slow_us: int = 0
    slow_harmful_us: int = 0
    slow_harmless_us: int = 0


@dataclass(frozen=True, slots=True)
class TrafficTable:
    """The shares in force of one model.

    Attributes:
        model: its name.
        registry_id: the registry it belongs to.
        rollout: id of the rollout.
        generation: of the log's newest entry about the rollout when the table was made.
        epoch: of the controller that made it.
        sequence: of that controller's tables, from 1.
        salt: of the buckets.
        key: who asks.
        control: the version that serves; takes what the candidates leave.
        candidates: in the order of their buckets, from 0 on.
        not_before_us: until then ``before`` is in force; 0: at once. UTC.
        before: all arms that are in force until then, candidates first, the control last.
        shadow: a version that gets copies of that share of the requests and answers none; None: no copies.
        thresholds: what counts as slow.

    Raises:
        ContentError: the shares are not all of the requests, or a version stands in it twice.
    """

    model: str
    registry_id: str
    rollout: str
    generation: int
    epoch: int
    sequence: int
    salt: str
    key: RequestKey
    control: TrafficArm
    candidates: tuple[TrafficArm, ...] = ()
    not_before_us: int = 0
    before: tuple[TrafficArm, ...] = ()
    shadow: TrafficArm | None = None
    thresholds: SlowThresholds = SlowThresholds()

    def __post_init__(self) -> None:
        for arms in (self.arms, self.before):
            if arms and sum(arm.share for arm in arms) != SHARES:
                raise ContentError(f"shares add up to {sum(arm.share for arm in arms)}", subject=self.model,
                                   hint=f"all together are {SHARES}")  # fmt: skip
            if len({arm.version for arm in arms}) != len(arms):
                raise ContentError("a version stands twice in the table", subject=self.model)
        if len(self.candidates) > CANDIDATES_MAX or bool(self.before) != bool(self.not_before_us):
            raise ContentError("too many candidates, or a time without shares before it", subject=self.model)

    @property
    def authority(self) -> Authority:
        """What orders tables."""
        return self.generation, self.epoch, self.sequence

    @property
    def arms(self) -> tuple[TrafficArm, ...]:
        """All of them in the order of their buckets."""
        return (*self.candidates, self.control)

    @property
    def share(self) -> int:
        """Of all candidates together."""
        return SHARES - self.control.share

    def arms_at(self, now_us: int) -> tuple[TrafficArm, ...]:
        """The arms in force at that time."""
        return self.before if now_us < self.not_before_us else self.arms


def choose_arm(arms: tuple[TrafficArm, ...], bucket: int) -> TrafficArm:
    """Which of these arms answers a request of this bucket (``bucket_of``, or a random one)."""
    for arm in arms:
        bucket -= arm.share
        if bucket < 0:
            return arm
    return arms[-1]


def clamp(table: TrafficTable, grant: TrafficGrant | None) -> TrafficTable:
    """The table as far as a region's grant lets it: never more than the grant's ceiling, never another version.

    The control is what the region aspires to, and gets what the grant takes away. Without a grant, with that of another
    rollout or with one that does not let the candidate serve, no candidate gets anything.
    """
    allowed, control = 0, replace(table.control, share=SHARES)
    if grant is not None:
        control = TrafficArm(grant.control.version, grant.control.artifact.manifest_digest, SHARES)
        allowed = grant.ceiling if grant.rollout == table.rollout and grant.serves_candidate else 0

    def cut(arms: tuple[TrafficArm, ...]) -> tuple[TrafficArm, ...]:
        left, found = allowed, []
        for arm in arms[:-1]:
            if arm.version == control.version:
                continue
            known = grant is not None and arm.manifest_digest == grant.candidate.artifact.manifest_digest
            share = min(arm.share, left) if known else 0
            left -= share
            found.append(replace(arm, share=share))
        return (*found, replace(control, share=SHARES - sum(arm.share for arm in found)))

    *candidates, rest = cut(table.arms)
    before = cut(table.before) if table.before else ()
    return replace(table, candidates=tuple(candidates), control=rest, before=before)


def encode_table(table: TrafficTable) -> bytes:
    """The table as JSON, the same bytes for the same table."""
    thresholds = table.thresholds
    return json_bytes(
        {
            "format": _FORMAT,
            "model": table.model,
            "registry_id": table.registry_id,
            "rollout": table.rollout,
            "generation": table.generation,
            "epoch": table.epoch,
            "sequence": table.sequence,
            "salt": table.salt,
            "key": str(table.key),
            "control": _arm_fields(table.control),
            "candidates": [_arm_fields(arm) for arm in table.candidates],
            "not_before_us": table.not_before_us,
            "before": [_arm_fields(arm) for arm in table.before],
            "shadow": None if table.shadow is None else _arm_fields(table.shadow),
            "slow_us": [thresholds.slow_us, thresholds.slow_harmful_us, thresholds.slow_harmless_us],
        }
    )


def table_digest(table: TrafficTable) -> str:
    """What a pod that has the table in force reads back."""
    return sha256_of(encode_table(table))


def decode_table(data: bytes) -> TrafficTable:
    """Read what ``encode_table`` wrote.

    Raises:
        DecodeError: it is no table, too large, or of a format that is not known here.
    """
    fields = JsonFields.read(data, "a traffic table", size_max=TABLE_SIZE_MAX)
    if (number := fields.whole("format")) != _FORMAT:
        raise DecodeError(f"a traffic table of format {number}", reason="unknown-format", hint=f"this reads {_FORMAT}")
    model = fields.text("model")
    if not MODEL_PATTERN.fullmatch(model):
        raise DecodeError(f"a traffic table of model {model[:80]!r}", reason="bad-value")
    shadow = fields.nested("shadow")
    slow = fields.items("slow_us", count_max=3)
    try:
        if len(slow) != 3 or any(type(each) is not int or not 0 <= each < 2**63 for each in slow):
            raise ContentError(f"bad slow_us {str(slow)[:80]}")
        table = TrafficTable(
            model=model,
            registry_id=fields.text("registry_id"),
            rollout=fields.text("rollout"),
            generation=fields.whole("generation"),
            epoch=fields.whole("epoch"),
            sequence=fields.whole("sequence"),
            salt=fields.text("salt"),
            key=RequestKey.parse(fields.text("key")),
            control=_arm(fields.nested("control")),
            candidates=_arms(fields.items("candidates", count_max=CANDIDATES_MAX)),
            not_before_us=fields.whole("not_before_us"),
            before=_arms(fields.items("before", count_max=CANDIDATES_MAX + 1)),
            shadow=None if shadow is None else _arm(shadow),
            thresholds=SlowThresholds(*slow),
        )
    except DecodeError:
        raise
    except (ContentError, UsageError) as error:
        raise DecodeError(f"not a traffic table: {error}", reason="bad-value") from None
    fields.done()
    return table


def _arm_fields(arm: TrafficArm) -> dict[str, Any]:
    return {"version": arm.version, "manifest_digest": arm.manifest_digest, "share": arm.share}


def _arms(values: list[Any]) -> tuple[TrafficArm, ...]:
    return tuple(_arm(JsonFields(value, "a version's share")) for value in values)


def _arm(fields: JsonFields | None) -> TrafficArm:
    if fields is None:
        raise DecodeError("a traffic table without a control", reason="bad-value")
    arm = TrafficArm(fields.whole("version"), fields.text("manifest_digest"), fields.whole("share", high=SHARES))
    fields.done()
    return arm
