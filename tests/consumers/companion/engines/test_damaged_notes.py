"""What an engine has noted beside the models may be damaged by others: it says so, or names nothing, and goes on."""

import os
import sys
from functools import partial
from pathlib import Path

import pytest

from modelcast.consumers.artifacts.sources import FolderArtifacts
from modelcast.consumers.companion.kinds import ServerSettings, make_engine
from modelcast.consumers.companion.placing import ModelRepository
from modelcast.consumers.pod.engine import Engine
from modelcast.consumers.pod_clients.port import LoadFailed, PodUnreachable
from tests.consumers.pod.models import Artifact, order

ARTIFACT = Artifact({"number.txt": b"1"})
WEBHOOK = '[load]\nurl = "http://127.0.0.1:9/${model}"\n'
FOLDER = ("folder", "webhook")


def engine_of(kind: str, home: Path, **settings: str) -> Engine:
    webhook = home / "webhook.toml"
    webhook.write_text(WEBHOOK)
    server = "grpc://127.0.0.1:9" if kind == "triton" else "http://127.0.0.1:9"
    told = {"webhook": {"webhook": webhook}, "folder": {}}.get(kind, {"server": server})
    known = ServerSettings(kind, repository=home / "models", load_seconds_max=5.0, **told, **settings)  # type: ignore[arg-type]
    return make_engine(known, partial(FolderArtifacts, home / "cache"))


@pytest.mark.parametrize("kind", ["triton", "kserve", "webhook", "folder"])
async def test_an_engine_that_is_closed_lets_another_have_its_folder(kind: str, tmp_path: Path) -> None:
    await engine_of(kind, tmp_path).aclose()
    ModelRepository(tmp_path / "models").close()


@pytest.mark.parametrize("named", ["", "no number", "9" * 5000, "1\n2"])
async def test_a_webhook_engine_that_noted_no_version_names_none(named: str, tmp_path: Path) -> None:
    engine = engine_of("webhook", tmp_path)
    (tmp_path / "models/adder").mkdir()
    (tmp_path / "models/adder/.served").write_text(named)
    assert await engine.serving("adder") is None
    await engine.aclose()


async def test_a_folder_engine_whose_link_leads_elsewhere_names_nothing(tmp_path: Path) -> None:
    engine = engine_of("folder", tmp_path)
    (tmp_path / "models/adder").mkdir()
    (tmp_path / "models/adder/current").symlink_to("elsewhere")
    (tmp_path / "models/adder/.digest-elsewhere").write_text(ARTIFACT.digest)
    assert await engine.serving("adder") is None
    await engine.aclose()


@pytest.mark.parametrize("kind", FOLDER)
async def test_what_was_noted_of_a_version_and_is_damaged_names_nothing(kind: str, tmp_path: Path) -> None:
    engine = engine_of(kind, tmp_path)
    (tmp_path / "models/adder").mkdir()
    (tmp_path / "models/adder/current").symlink_to("1")
    (tmp_path / "models/adder/.served").write_text("1")
    (tmp_path / "models/adder/.digest-1").write_bytes(b"\xff\xfe")
    assert await engine.serving("adder") is None
    await engine.aclose()


@pytest.mark.parametrize("kind", FOLDER)
async def test_what_can_not_be_read_is_no_answer(kind: str, tmp_path: Path) -> None:
    engine = engine_of(kind, tmp_path)
    (tmp_path / "models/adder/.digest-1").mkdir(parents=True)
    (tmp_path / "models/adder/current").symlink_to("1")
    (tmp_path / "models/adder/.served").write_text("1")
    with pytest.raises(PodUnreachable, match="Is a directory"):
        await engine.serving("adder")
    await engine.aclose()


async def test_a_check_that_prints_no_version_names_none(tmp_path: Path) -> None:
    (tmp_path / "models/adder").mkdir(parents=True)
    engine = engine_of("folder", tmp_path, check=f"{sys.executable} -c 'print(\"9\" * 500)'")
    assert await engine.serving("adder") is None
    await engine.aclose()


async def test_a_first_version_that_its_command_refuses_leaves_no_link_to_it(tmp_path: Path) -> None:
    ARTIFACT.put(tmp_path / "cache")
    engine = engine_of("folder", tmp_path, command="false")
    await engine.prepare(order(ARTIFACT, 1))
    with pytest.raises(LoadFailed, match="the command ended with 1"):
        await engine.swap(order(ARTIFACT, 1))
    assert not os.path.lexists(tmp_path / "models/adder/current")
    await engine.aclose()
