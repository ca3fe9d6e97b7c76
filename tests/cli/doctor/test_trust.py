"""What doctor says of the policy of trust."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from prometheus_client import REGISTRY
from securesystemslib.signer import CryptoSigner

from modelcast.cli.doctor import trust
from modelcast.cli.doctor.checks import Result
from modelcast.infra.settings import Settings, StoreSettings, TrustSettings
from modelcast.infra.stores import MemoryStore, configured
from modelcast.infra.trust.policy_changes import change
from modelcast.infra.trust.policy_files import PolicyKeys, begin, grant_role
from modelcast.infra.trust.signing_keys import new_key
from modelcast.schemas.digests import sha256_of
from modelcast.schemas.trust.policy import TrustPolicy, TrustRole

NOW = datetime.now(UTC).replace(microsecond=0)


def test_no_root_is_told_as_such() -> None:
    (check,) = trust.check_policy(Settings())
    assert check.result is Result.skipped
    assert "no root of trust is pinned" in check.detail


@pytest.mark.parametrize(("days", "result"), [(31, Result.ok), (29, Result.warning), (0, Result.warning)])
def test_a_policy_that_soon_expires_is_told_with_what_renews_it(days: int, result: Result) -> None:
    expires = NOW + timedelta(days=days, minutes=1)
    check = trust.judged(TrustPolicy(3, int(expires.timestamp() * 1e6), {}, (), {}), NOW)
    assert check.result is result
    assert (result is Result.ok) or "modelcast keys renew" in check.hint


def test_a_key_that_signs_here_and_is_in_no_role_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = MemoryStore("origin")
    holders = PolicyKeys(*([CryptoSigner.generate_ed25519()] for _ in range(3)))
    root = sha256_of(begin(store, holders, now=NOW))
    known, _ = new_key(tmp_path / "train.pem"), new_key(tmp_path / "other.pem")
    role = TrustRole("training", frozenset({known.keyid}), 1, ("publish/*/*/*",))
    change(store, root, holders, lambda targets: grant_role(targets, role, {known.keyid: known}), now=NOW)
    monkeypatch.setattr(configured, "origin_store", lambda settings: store)
    settings = Settings(
        stores={"origin": StoreSettings(url="s3://origin")},
        trust=TrustSettings(root=root, keys=[f"file:{tmp_path}/train.pem", f"file:{tmp_path}/other.pem"]),
    )
    policy, good, bad = trust.check_policy(settings)
    assert (policy.result, good.result, bad.result) == (Result.ok, Result.ok, Result.error)
    assert "of training" in good.detail
    assert "no role of the policy has key" in bad.detail
    told = REGISTRY.get_sample_value("modelcast_trust_expires_timestamp_seconds")
    assert told == (NOW + timedelta(days=365)).timestamp()
