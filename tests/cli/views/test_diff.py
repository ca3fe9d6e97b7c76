"""``modelcast diff``: what differs between two versions, by manifests and headers alone."""

import json
import struct
from collections.abc import Mapping

import pytest

from modelcast.cli.views import diff as view
from modelcast.infra.registry.reader import RegistryReader
from modelcast.infra.settings import Settings
from modelcast.infra.stores import MemoryStore
from modelcast.schemas import keys
from modelcast.schemas.log.fold import ModelLog
from modelcast.schemas.log.registry_id import encode_registry_id
from modelcast.schemas.manifest import Manifest
from modelcast.schemas.records import ArtifactRef, ModelUpdate
from tests.cli.conftest import Cli
from tests.consumers.fetch.publishing import MIB, noise, publish
from tests.support.records.folding import stated

WEIGHTS = noise(3 * MIB, 1)
CHANGED = WEIGHTS[:MIB] + noise(MIB, 2) + WEIGHTS[2 * MIB :]


def safetensors(shapes: Mapping[str, tuple[int, ...]]) -> bytes:
    header = json.dumps(
        {name: {"dtype": "F32", "shape": shape, "data_offsets": [0, 0]} for name, shape in shapes.items()}
    )
    return struct.pack("<Q", len(header)) + header.encode() + b"\0" * 64


VERSIONS: tuple[tuple[dict[str, bytes], dict[str, float], dict[str, str]], ...] = (
    (
        {"w.onnx": WEIGHTS, "old.txt": b"x", "same.txt": b"s", "m.safetensors": safetensors({"a": (2, 3), "b": (4,)})},
        {"auc": 0.93},
        {"by": "nightly"},
    ),
    (
        {"w.onnx": CHANGED, "new.txt": b"yy", "same.txt": b"s", "m.safetensors": safetensors({"a": (2, 9), "c": (1,)})},
        {"auc": 0.94, "loss": 0.1},
        {"by": "nightly"},
    ),
)


@pytest.fixture
def two(origin: MemoryStore, monkeypatch: pytest.MonkeyPatch) -> MemoryStore:
    origin.put(keys.REGISTRY_ID, encode_registry_id("r"))
    log = ModelLog("fraud", "r")
    for version, (files, metrics, labels) in enumerate((*VERSIONS, VERSIONS[1]), 1):
        manifest: Manifest = publish(origin, files)
        ref = ArtifactRef(
            "origin", keys.manifest(manifest.digest), manifest.digest, manifest.size_bytes, len(files), "onnx"
        )
        update = ModelUpdate("r", f"e{version}", "fraud", version, version, ref, 1, metrics=metrics, labels=labels)
        entry = stated(log, update)
        log = log.extend(entry)
        origin.put(keys.log_entry("fraud", version), entry.body)
    monkeypatch.setattr("modelcast.infra.stores.configured.origin_store", lambda _: origin)
    monkeypatch.setattr(view, "load", Settings)
    assert RegistryReader(origin).tail("fraud").log.head == 3
    return origin


@pytest.mark.usefixtures("two")
def test_files_tensors_and_metrics_that_differ_are_named(cli: Cli) -> None:
    ended = cli("diff", "fraud/1", "fraud/2")
    assert ended.code == 0, ended.err
    lines = [" ".join(line.split()) for line in ended.out.splitlines()]
    for expected in (
        "changed metric auc 0.93 0.94",
        "added metric loss — 0.1",
        "changed w.onnx 3.0 MiB 3.0 MiB 1 of 3 MiB new",
        "removed old.txt 1 B —",
        "added new.txt — 2 B 1 of 1 MiB new",
        "changed tensor a F32 [2, 3] F32 [2, 9] m.safetensors",
        "removed tensor b F32 [4] — m.safetensors",
        "added tensor c — F32 [1] m.safetensors",
    ):
        assert expected in lines, ended.out
    assert not any("same.txt" in line or "label" in line for line in lines)


@pytest.mark.usefixtures("two")
@pytest.mark.parametrize(("after", "code"), [("fraud/2", 1), ("fraud/1", 0)])
def test_programs_are_told_by_the_exit_code_if_they_ask(cli: Cli, after: str, code: int) -> None:
    assert cli("diff", "fraud/1", after, "--exit-code").code == code


@pytest.mark.usefixtures("two")
def test_versions_alike_are_said_to_be_the_same(cli: Cli) -> None:
    ended = cli("diff", "fraud/2", "fraud/3", "--exit-code")
    assert ended.code == 0
    assert "same" in ended.out


@pytest.mark.usefixtures("two")
def test_programs_get_all_of_it(cli: Cli) -> None:
    found = json.loads(cli("diff", "fraud/1", "fraud/2", "-o", "json").out)
    assert found["files_same"] == 1
    assert found["changed_bytes"] == len(CHANGED) + 2 + len(VERSIONS[1][0]["m.safetensors"])


def test_a_header_that_lies_is_told_and_the_rest_is_compared(cli: Cli, two: MemoryStore) -> None:
    broken = struct.pack("<Q", 2**60) + b"{}"
    manifest = publish(two, {"m.safetensors": broken})
    ref = ArtifactRef("origin", keys.manifest(manifest.digest), manifest.digest, manifest.size_bytes, 1, "onnx")
    log = RegistryReader(two).tail("fraud").log
    update = ModelUpdate("r", "e4", "fraud", 4, 4, ref, 1)
    two.put(keys.log_entry("fraud", 4), stated(log, update).body)
    ended = cli("diff", "fraud/1", "fraud/4")
    assert ended.code == 0, ended.err
    assert "its header claims" in ended.out


@pytest.mark.usefixtures("two")
@pytest.mark.parametrize(
    ("arguments", "code"), [(("fraud/1", "other/2"), 2), (("fraud/1", "fraud/9"), 1), (("fraud/1", "fraud/x"), 2)]
)
def test_what_can_not_be_compared_is_refused(cli: Cli, arguments: tuple[str, ...], code: int) -> None:
    assert cli("diff", *arguments).code == code
