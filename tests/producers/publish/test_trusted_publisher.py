"""A publisher whose keys may not say it: it is told before anything is uploaded, and what mends it."""

import shlex
from datetime import UTC, datetime
from pathlib import Path

import pytest
from securesystemslib.signer import CryptoSigner

from modelcast.infra.settings import Settings
from modelcast.infra.settings_publish import TrustSettings
from modelcast.infra.stores import MemoryStore
from modelcast.infra.trust.policy_changes import change
from modelcast.infra.trust.policy_files import PolicyKeys, begin, grant_role
from modelcast.infra.trust.signing_keys import new_key
from modelcast.producers import Publisher
from modelcast.schemas.digests import sha256_of
from modelcast.schemas.errors import ExitCode, NotFound
from modelcast.schemas.trust.policy import TrustRole
from modelcast.schemas.trust.verdict import Untrusted
from tests.producers.fakes import SETTINGS, Heard

NOW = datetime.now(UTC)


class Trusting:
    """A store with a policy, the model's files, and a key that may publish ``fraud`` staged, in eu."""

    def __init__(self, store: MemoryStore, folder: Path) -> None:
        self.store, self.folder = store, folder
        holders = PolicyKeys(*([CryptoSigner.generate_ed25519()] for _ in range(3)))
        self.root = sha256_of(begin(store, holders, now=NOW))
        key = new_key(folder / "train.pem")
        role = TrustRole("training", frozenset({key.keyid}), 1, ("publish/fraud/staged/eu",))
        change(store, self.root, holders, lambda targets: grant_role(targets, role, {key.keyid: key}), now=NOW)
        new_key(folder / "thief.pem")
        (folder / "model").mkdir()
        (folder / "model" / "notes.txt").write_text("weights")

    def settings(self, *names: str) -> Settings:
        keys = tuple(f"file:{self.folder}/{name}.pem" for name in names)
        return SETTINGS.model_copy(update={"trust": TrustSettings(root=self.root, keys=keys)})

    def publisher(self, *names: str) -> Publisher:
        return Publisher(self.settings(*names), store=self.store, announcer=Heard())


@pytest.fixture
def trusting(store: MemoryStore, tmp_path: Path) -> Trusting:
    return Trusting(store, tmp_path)


@pytest.mark.parametrize(
    ("signers", "activation", "message"),
    [
        ((), "staged", "nothing signs here"),
        (("thief",), "staged", "signed by no key of policy 2"),
        (("train",), "immediate", "lets nobody say 'publish/fraud/immediate/eu'"),
    ],
)
@pytest.mark.parametrize("dry_run", [False, True])
def test_who_may_not_publish_is_told_before_a_byte_is_read_or_written(
    trusting: Trusting, signers: tuple[str, ...], activation: str, message: str, dry_run: bool
) -> None:
    before = [info.key for info in trusting.store.list("")]
    with trusting.publisher(*signers) as publisher, pytest.raises(Untrusted, match=message) as caught:
        publisher.publish(
            "fraud", trusting.folder / "model", placement=["eu"], activation=activation, dry_run=dry_run,
            progress=NothingIsRead(),
        )  # fmt: skip
    error = caught.value
    assert (error.exit_code, error.subject) == (ExitCode.VERIFICATION_FAILED, "fraud")
    written = [info.key for info in trusting.store.list("") if info.key not in before]
    assert [key for key in written if not key.startswith("audit/")] == []
    command = shlex.split(error.hint[error.hint.index("modelcast keys grant") :])
    assert command[4] == f"publish/fraud/{activation}/eu"
    named = [f"file:{trusting.folder}/{name}.pem" for name in signers] or ["file:KEY.pem"]
    assert command[5:7] == ["--key", *named]


def test_a_key_that_cannot_be_read_is_found_before_the_upload(trusting: Trusting) -> None:
    with trusting.publisher("gone") as publisher, pytest.raises(NotFound, match="no such key file"):
        publisher.publish("fraud", trusting.folder / "model", placement=["eu"], activation="staged")
    assert not list(trusting.store.list("blobs/"))


def test_who_may_publish_does(trusting: Trusting) -> None:
    with trusting.publisher("train") as publisher:
        made = publisher.publish("fraud", trusting.folder / "model", placement=["eu"], activation="staged")
    assert (made.version, made.created) == (1, True)


class NothingIsRead:
    """Progress of a publication that ends before its first byte."""

    def step(self, name: str, total_bytes: int = 0) -> None:
        assert name == "scan"

    def advance(self, done_bytes: int) -> None:
        raise AssertionError(f"{done_bytes} bytes were read")

    def added(self, addition: object) -> None:
        raise AssertionError("nothing is added")
