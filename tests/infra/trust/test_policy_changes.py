"""Policies that are changed, and roots that are rotated: only what the pinned root bears out is signed again."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from securesystemslib.signer import CryptoSigner, Signer
from tuf.api.metadata import Metadata, Targets

from modelcast.infra.stores import MemoryStore
from modelcast.infra.trust.policy_changes import change, rotate_root
from modelcast.infra.trust.policy_files import PolicyKeys, begin, grant_role
from modelcast.infra.trust.policy_reader import PolicyReader
from modelcast.infra.trust.signing_keys import new_key, public_key, public_of
from modelcast.schemas import keys
from modelcast.schemas.digests import sha256_of
from modelcast.schemas.errors import NotFound, Refused, VerificationFailed
from modelcast.schemas.ports import StoredObject
from modelcast.schemas.trust.policy import TrustPolicy, TrustRole

NOW = datetime.now(UTC)
NOBODY = PolicyKeys((), (), ())


def made() -> Signer:
    return CryptoSigner.generate_ed25519()


class Store:
    """A store with a policy, and who holds its keys."""

    def __init__(self, threshold: int = 1) -> None:
        self.store = MemoryStore("origin")
        held = [[made() for _ in range(count)] for count in (threshold, threshold, 1)]
        self.holders = PolicyKeys(*held)
        self.root = sha256_of(begin(self.store, self.holders, now=NOW, threshold=threshold))

    def grants(self, name: str, holders: PolicyKeys | None = None) -> int:
        return change(self.store, self.root, holders or self.holders, granting(name, made()), now=NOW)

    def rotates(self, successors: PolicyKeys, holders: PolicyKeys | None = None, **options: Any) -> int:
        return rotate_root(self.store, self.root, holders or self.holders, successors, now=NOW, **options)

    def policy(self, folder: Path | None = None) -> TrustPolicy:
        return PolicyReader(self.store, self.root, folder).current().policy

    def roles(self) -> Sequence[str]:
        return [role.name for role in self.policy().roles]

    def file(self, name: str) -> StoredObject:
        found = self.store.get(keys.trust_file(name), size_max=10**6)
        assert found is not None, name
        return found


@pytest.fixture
def store() -> Store:
    return Store()


def granting(name: str, signer: Signer) -> Callable[[Targets], None]:
    key = public_key(signer)
    role = TrustRole(name, frozenset({key.keyid}), 1, ("publish/*/*/*",))
    return lambda targets: grant_role(targets, role, {key.keyid: key})


def without_keys(store: Store, name: str, edit: Callable[[Any], None]) -> bytes:
    """A file as somebody changes it who has no key for it: its signatures stay."""
    found: Metadata[Any] = Metadata.from_bytes(store.file(name).body)
    edit(found.signed)
    return found.to_bytes()


@pytest.mark.parametrize("name", ["2.targets.json", "2.snapshot.json", "timestamp.json"])
def test_nothing_is_signed_that_was_planted_in_the_store(store: Store, name: str) -> None:
    store.grants("training")

    def plant(signed: Any) -> None:
        if isinstance(signed, Targets):
            granting("mallory", made())(signed)
        signed.expires = NOW.replace(microsecond=0) + timedelta(days=9_000)

    store.store.put(keys.trust_file(name), without_keys(store, name, plant))
    with pytest.raises(VerificationFailed, match="can't be believed"):
        store.grants("operators")
    assert store.store.get(keys.trust_file("3.targets.json"), size_max=10**6) is None


def test_a_policy_that_was_swapped_with_its_root_is_not_signed(store: Store) -> None:
    other = Store()
    for name in ("1.root.json", "1.targets.json", "1.snapshot.json", "timestamp.json"):
        store.store.put(keys.trust_file(name), other.file(name).body)
    with pytest.raises(VerificationFailed, match="pinned is"):
        store.grants("training")


def test_a_change_that_was_cut_off_blocks_no_later_one(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def dies(key: str, body: bytes, **condition: Any) -> object:
        if key.endswith("snapshot.json"):
            raise KeyboardInterrupt
        return MemoryStore.put(store.store, key, body, **condition)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(store.store, "put", dies)
        store.grants("training")
    assert store.grants("operators") == 3
    assert store.roles() == ["operators"]


def test_a_change_that_lacked_its_last_step_holds_after_the_next_one(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dies(key: str, body: bytes, **condition: Any) -> object:
        if key.endswith("timestamp.json"):
            raise KeyboardInterrupt
        return MemoryStore.put(store.store, key, body, **condition)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(store.store, "put", dies)
        store.grants("training")
    assert store.roles() == [], "no reader has seen it yet"
    store.grants("operators")
    assert store.roles() == ["training", "operators"]


def test_an_older_timestamp_that_somebody_put_back_undoes_nothing(store: Store) -> None:
    older = store.file("timestamp.json")
    store.grants("training")
    store.store.put(keys.trust_file("timestamp.json"), older.body)
    store.grants("operators")
    assert store.roles() == ["training", "operators"]


def test_a_file_that_nobody_signed_hides_none_above_it(store: Store) -> None:
    older = store.file("timestamp.json")
    for name in ("training", "operators"):
        store.grants(name)
    store.store.put(keys.trust_file("timestamp.json"), older.body)
    store.store.put(keys.trust_file("2.snapshot.json"), b"{}")
    store.grants("auditors")
    assert store.roles() == ["training", "operators", "auditors"]


def test_of_two_changes_at_once_the_second_is_told_to_say_it_again(store: Store) -> None:
    def meanwhile(targets: Targets) -> None:
        store.grants("training")
        granting("operators", made())(targets)

    with pytest.raises(Refused, match="somebody else changed the policy meanwhile"):
        change(store.store, store.root, store.holders, meanwhile, now=NOW)
    assert store.roles() == ["training"]
    store.grants("operators")
    assert "operators" in store.roles()


def test_keys_that_the_root_does_not_name_change_nothing(store: Store) -> None:
    strangers = PolicyKeys((), [made()], store.holders.online)
    with pytest.raises(Refused, match="targets takes 1 of 1 keys, 0 of them sign"):
        store.grants("training", strangers)
    assert store.roles() == []


def test_a_store_without_a_policy_says_so(store: Store) -> None:
    store.store.delete(keys.trust_file("timestamp.json"))
    with pytest.raises(NotFound, match="no policy"):
        store.grants("training")


def test_who_pinned_the_first_root_follows_the_next_ones(store: Store, tmp_path: Path) -> None:
    store.grants("training")
    assert store.policy(tmp_path / "kept").version == 2
    second = PolicyKeys([made()], [made()], [made()])
    assert store.rotates(second) == 2
    assert [role.name for role in store.policy(tmp_path / "kept").roles] == ["training"]
    assert store.roles() == ["training"]
    with pytest.raises(Refused, match="0 of them sign"):
        store.grants("operators")
    store.grants("operators", second)
    third = PolicyKeys([made(), made()], (), ())
    assert store.rotates(third, second) == 3
    assert [role.name for role in store.policy(tmp_path / "kept").roles] == ["training", "operators"]
    store.grants("auditors", PolicyKeys((), second.policy, second.online))
    assert store.roles() == ["training", "operators", "auditors"]


def test_a_root_is_renewed_by_its_own_keys(store: Store) -> None:
    later = NOW + timedelta(days=700)
    assert rotate_root(store.store, store.root, store.holders, NOBODY, now=later) == 2
    assert Metadata[Any].from_bytes(store.file("2.root.json").body).signed.expires > NOW + timedelta(days=1_400)
    assert store.policy().version == 1


def test_a_lost_key_of_the_policy_is_replaced_by_the_root_alone(store: Store) -> None:
    store.grants("training")
    found = [made()]
    only_root = PolicyKeys(store.holders.root, (), store.holders.online)
    assert store.rotates(PolicyKeys((), found, ()), only_root) == 2
    assert store.roles() == ["training"]
    store.grants("operators", PolicyKeys((), found, store.holders.online))
    assert store.roles() == ["training", "operators"]


def test_too_few_of_the_roots_keys_rotate_nothing() -> None:
    store = Store(threshold=2)
    one = PolicyKeys(store.holders.root[:1], store.holders.policy, store.holders.online)
    with pytest.raises(Refused, match="takes 2 of the old root's 2 keys"):
        store.rotates(PolicyKeys([made(), made()], (), ()), one)
    with pytest.raises(Refused, match="2 keys are needed for root"):
        store.rotates(PolicyKeys([made()], (), ()))
    with pytest.raises(Refused, match="takes 2 of the old root's 2 keys"):
        store.rotates(NOBODY, PolicyKeys([made(), made()], (), ()))
    assert store.store.get(keys.trust_file("2.root.json"), size_max=10**6) is None
    assert store.rotates(PolicyKeys([made(), made()], (), ())) == 2
    assert store.policy().version == 1


def test_a_root_that_its_predecessor_did_not_sign_is_none(store: Store) -> None:
    planted = Store()
    planted.rotates(PolicyKeys([made()], (), ()))
    store.store.put(keys.trust_file("2.root.json"), planted.file("2.root.json").body)
    with pytest.raises(VerificationFailed, match="can't be believed"):
        store.grants("training")


def test_the_first_file_that_expires_is_told(store: Store) -> None:
    rotate_root(store.store, store.root, store.holders, NOBODY, now=NOW - timedelta(days=600))
    left_days = (store.policy().expires_us / 1e6 - NOW.timestamp()) / 86_400
    assert 128 < left_days < 131, "the root has 730 days, 600 of them gone; the others 365"


def test_the_public_part_of_a_key_is_all_that_is_needed_to_grant_it(tmp_path: Path) -> None:
    key = new_key(tmp_path / "train.pem", "a long passphrase")
    public = tmp_path / "train.pem.pub"
    assert b"PRIVATE" not in public.read_bytes()
    public.chmod(0o644)
    assert public_of(f"file:{public}").keyid == key.keyid
    assert public_of(f"file:{tmp_path}/train.pem", "a long passphrase").keyid == key.keyid
