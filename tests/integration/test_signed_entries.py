"""Trust in a running system: what a granted key signs is served, what anybody else writes is not, and is told."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from modelcast.infra.local.stack import LocalStack
from modelcast.infra.settings import load_settings
from modelcast.infra.stores import MemoryStore
from modelcast.infra.stores.configured import origin_store
from modelcast.infra.trust.policy_files import PolicyKeys, begin
from modelcast.infra.trust.signing_keys import new_key, open_key
from modelcast.schemas import keys
from modelcast.schemas.digests import sha256_of
from tests.support.processes.command_line import CommandLine, pods_of, predicts
from tests.support.processes.services import ForkedService
from tests.support.waiting import until

pytestmark = [pytest.mark.integration, pytest.mark.soak]
MODEL = "signed"
POLICY_FILES = ("1.root.json", "1.targets.json", "1.snapshot.json", "timestamp.json")


@pytest.fixture
def trusting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[LocalStack, str]]:
    """A region that has pinned a root, in whose policy nobody may say anything yet. The keys lie in ``tmp_path``."""
    for name in ("root", "policy", "online", "train"):
        new_key(tmp_path / f"{name}.pem")
    held = [[open_key(f"file:{tmp_path / name}.pem", {})] for name in ("root", "policy", "online")]
    made = MemoryStore("made")
    root = sha256_of(begin(made, PolicyKeys(*held), now=datetime.now(UTC)))
    with LocalStack.start(
        tmp_path / "stack",
        regions=("eu",),
        pods_per_region=1,
        service=ForkedService,
        extra_env={"MODELCAST_TRUST__ROOT": root},
    ) as stack:
        for name, value in stack.env.items():
            monkeypatch.setenv(name, value)
        store = origin_store(load_settings())
        for name in POLICY_FILES:
            found = made.get(keys.trust_file(name), size_max=10**6)
            assert found is not None
            store.put(keys.trust_file(name), found.body)
        yield stack, root


@pytest.mark.timeout(400)
def test_what_a_granted_key_signs_is_served_and_what_anybody_else_writes_is_not(
    trusting: tuple[LocalStack, str], tmp_path: Path
) -> None:
    stack, root = trusting
    holders = ("--policy", f"file:{tmp_path}/policy.pem", "--online", f"file:{tmp_path}/online.pem", "--yes")
    pinned = {**stack.env, "MODELCAST_TRUST__ROOT": root}
    modelcast = CommandLine(pinned, tmp_path)
    signs = CommandLine({**pinned, "MODELCAST_TRUST__KEYS": f'["file:{tmp_path}/train.pem"]'}, tmp_path)
    thief = CommandLine(stack.env, tmp_path)

    def served() -> int:
        (pod,) = pods_of(stack.env)
        return predicts(pod, MODEL)[0]

    assert "by no key of policy 1" in signs("publish", MODEL, modelcast.model(1), code=4).err
    modelcast("keys", "grant", "training", f"publish/{MODEL}/*/*", "--key", f"file:{tmp_path}/train.pem", *holders)
    assert "nothing signs here" in modelcast("publish", MODEL, modelcast.model(1), code=4).err
    signs("publish", MODEL, modelcast.model(1), "--wait", "--timeout", "2m")
    assert served() == 1
    assert "lets nobody say 'command/pin/" in signs("pin", f"{MODEL}/1", "--yes", code=4).err

    thief("publish", MODEL, modelcast.model(2))
    until(lambda: "nobody has signed it" in modelcast("get", MODEL).out, "it is told", 120)
    assert served() == 1
    assert "nobody has signed it" in signs("publish", MODEL, modelcast.model(3), code=4).err

    modelcast("keys", "floor", MODEL, *holders)  # a person says that it was right
    modelcast("wait", f"{MODEL}/2", "--timeout", "2m")
    signs("publish", MODEL, modelcast.model(3), "--wait", "--timeout", "2m")
    assert served() == 3
    (role,) = modelcast("keys", "list", "-o", "json").json["roles"]
    (keyid,) = role["keyids"]
    modelcast("keys", "revoke", keyid, *holders)
    assert "by no key of policy" in signs("publish", MODEL, modelcast.model(4), code=4).err
    assert served() == 3
