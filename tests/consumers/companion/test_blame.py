"""When a server's word against a version stands."""

from functools import partial
from pathlib import Path

import pytest

from modelcast.consumers.artifacts.sources import FolderArtifacts
from modelcast.consumers.companion.blame import missed_elsewhere, missed_file, weighed
from modelcast.consumers.companion.delivery import Delivered, Delivery
from modelcast.consumers.companion.layouts.folder import folder_layout
from modelcast.consumers.companion.placing import ModelRepository
from modelcast.consumers.pod.engine import Served
from modelcast.consumers.pod_clients.port import BLAMES_THE_VERSION, LoadFailed, PodUnreachable
from tests.consumers.pod.models import Artifact, order

ARTIFACT = Artifact({"model.bin": b"0123456789", "more/vocab.txt": b"words"})
CACHE, REPOSITORY = "cache", "repository"


def delivery(home: Path) -> Delivery:
    ARTIFACT.put(home / CACHE)
    (home / REPOSITORY).mkdir()
    return Delivery(
        partial(FolderArtifacts, home / CACHE),
        ModelRepository(home / REPOSITORY),
        lambda files, order, _: folder_layout(files, order),
    )


async def serves_version_6(model: str) -> Served | None:
    return Served(6, "sha256:" + "6" * 64, "memory")


async def serves_nothing(model: str) -> Served | None:
    return None


async def is_away(model: str) -> Served | None:
    raise PodUnreachable("connection refused")


def said(message: str, code: str = BLAMES_THE_VERSION) -> LoadFailed:
    return LoadFailed(message, code=code)


@pytest.mark.parametrize(
    ("message", "file"),
    [
        ("[Errno 2] No such file or directory: '/models/adder/7/model.bin'", "adder/7/model.bin"),
        ("FileNotFoundError: /mnt/a/adder.trial/7/more/vocab.txt does not exist", "adder.trial/7/more/vocab.txt"),
        ("could not find /srv/adder/7/", "adder/7"),
        ("Error no file named model.bin found in directory /srv/adder/7: not found", "adder/7"),
        ("[Errno 2] No such file or directory: '/models/adder/7/optimizer.bin'", ""),  # the artifact lacks it, too
        ("[Errno 2] No such file or directory: '/models/adder/7/model.bin.index'", ""),
        ("[Errno 2] No such file or directory: '/models/adder/6/model.bin'", ""),
        ("[Errno 2] No such file or directory: '/models/loader/7/model.bin'", ""),
        ("ValueError: /models/adder/7/model.bin: bad magic number", ""),
        (
            "[Errno 2] No such file: '/models/adder/7/more/vocab.txt'\nAt:\n/models/adder/7/model.bin(3)",
            "adder/7/more/vocab.txt",
        ),
        ("[Errno 2] No such file: '/opt/words'\nAt:\n/models/adder/7/model.bin(3)", ""),
    ],
)
async def test_a_file_that_was_placed_and_is_not_found_is_named(message: str, file: str, tmp_path: Path) -> None:
    delivered = await delivery(tmp_path).deliver(order(ARTIFACT, 7))
    assert missed_file(message, delivered) == file


@pytest.mark.parametrize(
    ("message", "file"),
    [
        ("[Errno 2] No such file: '/opt/words'\nAt:\n/models/adder/7/model.bin(3)", "/opt/words"),
        ("Path does not exist: /opt/envs/of a model.tar.gz", "/opt/envs/of"),
        ('FileNotFoundError: [Errno 2] No such file: "/opt/two words/x"', "/opt/two words/x"),
        ("[Errno 2] No such file or directory: '/models/adder/6/model.bin'", "/models/adder/6/model.bin"),
        ("[Errno 2] No such file or directory: '/models/adder/7/optimizer.bin'", ""),  # the artifact is not whole
        ("[Errno 2] No such file or directory: '/m/adder.trial/7/optimizer.bin'", ""),
        ("[Errno 2] No such file or directory: 'words.txt'", ""),
        ("key 'a/b' not found", ""),
        ("https://example.org/model: not found", ""),
        ("ValueError: /opt/words: bad magic number", ""),
    ],
)
async def test_a_file_of_the_servers_own_machine_that_is_not_found_is_named(
    message: str, file: str, tmp_path: Path
) -> None:
    delivered = await delivery(tmp_path).deliver(order(ARTIFACT, 7))
    assert missed_elsewhere(message, delivered) == file


async def test_what_travelled_with_the_load_lies_in_a_folder_of_the_servers_own(tmp_path: Path) -> None:
    ARTIFACT.put(tmp_path / CACHE)
    artifacts = partial(FolderArtifacts, tmp_path / CACHE)
    travels = Delivery(artifacts, None, lambda files, order, _: folder_layout(files, order), 1024)
    delivered = await travels.deliver(order(ARTIFACT, 7))
    assert missed_file("No such file or directory: '/tmp/folderX/7/model.bin'", delivered) == "7/model.bin"
    assert missed_elsewhere("No such file or directory: '/tmp/folderX/7/optimizer.bin'", delivered) == ""
    assert missed_elsewhere("No such file or directory: '/opt/words'", delivered) == "/opt/words"


async def weigh(
    home: Path, failed: LoadFailed, serving: object = serves_version_6, *, damage: str = "", held: bool = True
) -> LoadFailed:
    brings = delivery(home)
    delivered: Delivered = await brings.deliver(order(ARTIFACT, 7))
    placed = home / REPOSITORY / "adder/7/model.bin"
    if damage == "changed":
        placed.write_bytes(b"0123456780")
    if damage == "gone":
        placed.unlink()
    return await weighed(failed, delivered, brings, serving, held=held)  # type: ignore[arg-type]


async def test_a_server_that_had_the_files_and_lives_is_believed(tmp_path: Path) -> None:
    failed = said("ValueError: bad magic number")
    assert await weigh(tmp_path, failed) is failed


async def test_the_first_version_of_a_model_may_be_to_blame_too(tmp_path: Path) -> None:
    assert (await weigh(tmp_path, said("bad"), serves_nothing, held=False)).code == BLAMES_THE_VERSION


async def test_what_blames_nothing_is_not_weighed(tmp_path: Path) -> None:
    failed = said("no CUDA", "unsupported")
    assert await weigh(tmp_path, failed, is_away) is failed


@pytest.mark.parametrize(
    ("serving", "damage", "message", "code", "says"),
    [
        (is_away, "", "bad magic number", "unreachable", "now it does not answer: connection refused"),
        (serves_nothing, "", "bad magic number", "server_failed", "it has lost what it served, too"),
        (serves_version_6, "changed", "bad magic number", "io_error", "is not what was placed there"),
        (serves_version_6, "gone", "bad magic number", "io_error", "can't be read again"),
        (
            *(serves_version_6, "", "[Errno 2] No such file or directory: '/models/adder/7/model.bin'"),
            *("not_delivered", "adder/7/model.bin was placed whole"),
        ),
        (
            *(serves_version_6, "", "[Errno 2] No such file or directory: '/opt/words.txt'"),
            *("not_delivered", "/opt/words.txt is none of the files that were placed"),
        ),
    ],
)
async def test_incomplete_evidence_blames_no_version_and_keeps_the_servers_words(
    serving: object, damage: str, message: str, code: str, says: str, tmp_path: Path
) -> None:
    failed = await weigh(tmp_path, said(message), serving, damage=damage)
    assert failed.code == code
    assert failed.message.startswith(message)
    assert says in failed.message
