"""A policy that is written, granted, revoked and read again, and files that are not what the pinned root says."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from securesystemslib.signer import CryptoSigner, Signer

from modelcast.infra.registry.claim import Claimed, claim
from modelcast.infra.registry.reader import RegistryReader
from modelcast.infra.stores import MemoryStore
from modelcast.infra.trust import policy_reader as reading
from modelcast.infra.trust.policy_changes import change
from modelcast.infra.trust.policy_files import PolicyKeys, begin, grant_role, revoke_key, set_floor
from modelcast.infra.trust.policy_reader import PolicyReader
from modelcast.infra.trust.signing_keys import public_key, signing
from modelcast.schemas import keys
from modelcast.schemas.digests import sha256_of
from modelcast.schemas.errors import (
    DecodeError,
    ForeignRegistry,
    NotFound,
    Refused,
    StoreUnavailable,
    VerificationFailed,
)
from modelcast.schemas.records import ModelUpdate
from modelcast.schemas.trust.policy import Floor, TrustRole
from modelcast.schemas.trust.verdict import Untrusted
from tests.schemas.log.test_log import update

NOW = datetime.now(UTC)


class Registry:
    """A store with a policy, and somebody who trains."""

    def __init__(self) -> None:
        self.store = MemoryStore("origin")
        self.holders = PolicyKeys(*([CryptoSigner.generate_ed25519()] for _ in range(3)))
        self.root = sha256_of(begin(self.store, self.holders, now=NOW))
        self.train, self.ops = CryptoSigner.generate_ed25519(), CryptoSigner.generate_ed25519()
        self.id = RegistryReader(self.store).registry_id(create=True)

    def grants(self, name: str, signer: Signer, *paths: str) -> int:
        key = public_key(signer)
        role = TrustRole(name, frozenset({key.keyid}), 1, paths)
        return change(
            self.store, self.root, self.holders, lambda targets: grant_role(targets, role, {key.keyid: key}), now=NOW
        )

    def policy(self, folder: Path | None = None) -> PolicyReader:
        return PolicyReader(self.store, self.root, folder)

    def reader(self, *signers: Signer, source: PolicyReader | None = None) -> RegistryReader:
        return RegistryReader(self.store, trust=source or self.policy(), sign=signing(signers) if signers else None)

    def publish(self, reader: RegistryReader) -> Claimed:
        log = RegistryReader(self.store).tail("fraud").log
        made = claim(reader, log, f"event-{log.head + 1}", lambda above: self.entry(above.head + 1))
        assert isinstance(made, Claimed)
        return made

    def entry(self, generation: int) -> ModelUpdate:
        return replace(update(generation, generation), registry_id=self.id)


@pytest.fixture
def registry() -> Registry:
    return Registry()


def test_what_a_granted_key_signs_is_read_and_what_nobody_signed_is_not(registry: Registry) -> None:
    registry.grants("training", registry.train, "publish/fraud/*/*")
    registry.publish(registry.reader(registry.train))
    read = registry.reader().tail("fraud")
    assert (read.log.head, read.new[1].stated.signers) == (1, {public_key(registry.train).keyid})
    registry.publish(RegistryReader(registry.store))
    with pytest.raises(Untrusted, match="nobody has signed it"):
        registry.reader().tail("fraud")
    partial = registry.reader().tail("fraud", partial=True)
    assert (partial.log.head, type(partial.unread)) == (1, Untrusted)


def test_a_key_that_is_granted_later_is_believed_once_the_policy_was_read_again(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.grants("operators", registry.ops, "command/*/*/*")
    reader = registry.reader()
    registry.publish(RegistryReader(registry.store, sign=signing([registry.train])))
    with pytest.raises(Untrusted, match="by no key of policy 2"):
        reader.tail("fraud")
    registry.grants("training", registry.train, "publish/*/*/*")
    with pytest.raises(Untrusted):
        reader.tail("fraud")  # it was read a moment ago
    monkeypatch.setattr(reading, "AGAIN_SECONDS", 0.0)
    assert reader.tail("fraud").log.head == 1


@pytest.mark.parametrize("signs", [False, True])
def test_what_no_reader_would_believe_is_not_written(registry: Registry, signs: bool) -> None:
    registry.grants("operators", registry.ops, "command/*/*/*")
    with pytest.raises(Untrusted, match="no reader would believe it") as caught:
        registry.publish(registry.reader(*([registry.ops] if signs else [])))
    assert "trust.keys" in caught.value.hint
    assert RegistryReader(registry.store).tail("fraud").log.head == 0


def test_a_revoked_key_is_believed_below_the_floor_alone(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "AGAIN_SECONDS", 0.0)
    registry.grants("training", registry.train, "publish/*/*/*")
    publisher = registry.reader(registry.train)
    registry.publish(publisher)
    floor = Floor(1, RegistryReader(registry.store).tail("fraud").log.digest_at(1))

    def revoked(targets: object) -> None:
        revoke_key(targets, public_key(registry.train).keyid)  # type: ignore[arg-type]
        set_floor(targets, "fraud", floor)  # type: ignore[arg-type]

    change(registry.store, registry.root, registry.holders, revoked, now=NOW)
    assert registry.reader().tail("fraud").log.head == 1
    registry.publish(RegistryReader(registry.store, sign=signing([registry.train])))
    with pytest.raises(Untrusted, match="by no key of policy 3"):
        registry.reader().tail("fraud")


def test_another_history_than_the_floors_is_refused(registry: Registry) -> None:
    registry.publish(RegistryReader(registry.store))
    wrong = Floor(1, "sha256:" + "0" * 64)
    change(registry.store, registry.root, registry.holders, lambda targets: set_floor(targets, "fraud", wrong), now=NOW)
    with pytest.raises(ForeignRegistry, match="names a history of 1 entries"):
        registry.reader().tail("fraud")
    longer = Floor(2, wrong.digest)
    change(
        registry.store, registry.root, registry.holders, lambda targets: set_floor(targets, "fraud", longer), now=NOW
    )
    with pytest.raises(ForeignRegistry, match="holds another one of 1"):
        registry.reader().tail("fraud")
    with pytest.raises(Refused, match="never lowered"):
        change(
            registry.store, registry.root, registry.holders, lambda targets: set_floor(targets, "fraud", wrong), now=NOW
        )


def forged(registry: Registry, name: str, edit: Callable[[dict[str, object]], None]) -> None:
    key = keys.trust_file(name)
    found = registry.store.get(key, size_max=10**6)
    assert found is not None
    whole = json.loads(found.body)
    edit(whole["signed"])
    registry.store.put(key, json.dumps(whole).encode())


@pytest.mark.parametrize("name", ["2.targets.json", "2.snapshot.json", "timestamp.json"])
def test_a_file_that_was_changed_by_who_holds_no_key_is_refused(registry: Registry, name: str) -> None:
    registry.grants("training", registry.train, "publish/fraud/*/*")
    forged(registry, name, lambda signed: signed.update(expires="2099-01-01T00:00:00Z"))
    with pytest.raises(VerificationFailed, match="can't be believed"):
        registry.policy().current()


def test_a_policy_that_was_read_binds_while_the_store_is_away(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "REFRESH_SECONDS", 0.0)
    source = registry.policy()
    before = source.current().policy

    def away(key: str, *, size_max: int) -> None:
        raise StoreUnavailable("away")

    monkeypatch.setattr(registry.store, "get", away)
    assert source.current().policy == before
    with pytest.raises(StoreUnavailable):
        registry.policy().current()


def test_another_root_than_the_pinned_one_is_refused(registry: Registry) -> None:
    other = Registry()
    found = other.store.get(keys.trust_file("1.root.json"), size_max=10**6)
    assert found is not None
    registry.store.put(keys.trust_file("1.root.json"), found.body)
    with pytest.raises(VerificationFailed, match="pinned is sha256:"):
        registry.policy().current()


def test_an_older_policy_is_refused_by_who_has_read_a_newer_one(registry: Registry, tmp_path: Path) -> None:
    names = ("timestamp.json", "1.snapshot.json", "1.targets.json")
    older = {name: registry.store.get(keys.trust_file(name), size_max=10**6) for name in names}
    registry.grants("training", registry.train, "publish/fraud/*/*")
    assert registry.policy(tmp_path / "kept").current().policy.version == 2
    for name, found in older.items():
        assert found is not None
        registry.store.put(keys.trust_file(name), found.body)
    with pytest.raises(VerificationFailed, match="can't be believed"):
        registry.policy(tmp_path / "kept").current()
    assert registry.policy().current().policy.version == 1, "who has read none can't know better"


def test_an_expired_policy_is_refused_with_what_mends_it(registry: Registry) -> None:
    long_ago = NOW - timedelta(days=4000)
    store = MemoryStore("old")
    root = sha256_of(begin(store, registry.holders, now=long_ago))
    with pytest.raises(VerificationFailed, match="has expired") as caught:
        PolicyReader(store, root).current()
    assert caught.value.hint


def test_a_policy_that_would_be_of_no_use_is_not_written(registry: Registry) -> None:
    key = public_key(registry.train)
    role = TrustRole("training", frozenset({key.keyid}), 2, ("publish/*/*/*",))
    with pytest.raises(Refused, match="wants 2 of 1 keys"):
        change(
            registry.store,
            registry.root,
            registry.holders,
            lambda targets: grant_role(targets, role, {key.keyid: key}),
            now=NOW,
        )
    assert registry.policy().current().policy.version == 1


def test_a_second_root_is_refused_and_a_store_without_one_says_so(registry: Registry) -> None:
    with pytest.raises(Refused, match="holds a root already"):
        begin(registry.store, registry.holders, now=NOW)
    with pytest.raises(NotFound, match="no root of trust"):
        PolicyReader(MemoryStore("empty"), registry.root).current()


@pytest.mark.parametrize("body", [b"", b"[" * 400_000, b'{"signed": 1}', b"\xff" * 64])
def test_a_root_that_is_none_raises_nothing_but_our_errors(body: bytes) -> None:
    store = MemoryStore("bad")
    store.put(keys.trust_file("1.root.json"), body)
    with pytest.raises((VerificationFailed, DecodeError)):
        PolicyReader(store, sha256_of(body)).current()
