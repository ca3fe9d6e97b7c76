"""The policy of trust: whether it can be believed, how long still, and whether it knows the keys that sign here."""

from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

from modelcast.cli.doctor.checks import Check, Result, Unit

if TYPE_CHECKING:
    from modelcast.infra.settings import Settings
    from modelcast.schemas.trust.policy import TrustPolicy

WARN_DAYS = 30


def units(settings: "Settings") -> list[Unit]:
    """What is looked at in the policy."""
    return [Unit("trust", partial(check_policy, settings))]


def check_policy(settings: "Settings") -> Iterator[Check]:
    """The policy below the pinned root, and the keys of ``trust.keys``."""
    from modelcast.infra.settings import ORIGIN

    if not settings.trust.root:
        yield Check(
            "trust",
            Result.skipped,
            "no root of trust is pinned: whoever writes to the store is believed",
            "docs/trust.md",
        )
        return
    if ORIGIN not in settings.stores:
        yield Check("trust", Result.skipped, "no origin store is set", "set MODELCAST_STORES__ORIGIN__URL=s3://bucket")
        return
    from modelcast.infra.stores.configured import origin_store
    from modelcast.infra.trust.configured import policy_reader
    from modelcast.infra.trust.signing_keys import public_of

    source = policy_reader(settings, origin_store(settings))
    try:
        policy = source.current().policy
    finally:
        source.close()
    yield judged(policy, datetime.now(UTC))
    for uri in settings.trust.keys:
        keyid = public_of(uri, settings.trust.passphrase.get_secret_value()).keyid
        named = [role.name for role in policy.roles if keyid in role.keyids]
        if named:
            yield Check(f"trust: {uri}", Result.ok, f"key {keyid[:12]} of {', '.join(named)}")
        else:
            hint = "modelcast keys list; modelcast keys grant"
            yield Check(f"trust: {uri}", Result.error, f"no role of the policy has key {keyid[:12]}", hint)


def judged(policy: "TrustPolicy", now: datetime) -> Check:
    """Whether the policy, which can be believed today, soon can't be."""
    expires = datetime.fromtimestamp(policy.expires_us / 1e6, UTC)
    days = (expires - now).days
    detail = f"policy {policy.version} with {len(policy.roles)} role(s) is good until {expires:%Y-%m-%d}"
    if days >= WARN_DAYS:
        return Check("trust", Result.ok, detail)
    hint = "modelcast keys renew; if it is the root that expires, modelcast keys rotate"
    return Check("trust", Result.warning, f"{detail}, in {days} days", hint)
