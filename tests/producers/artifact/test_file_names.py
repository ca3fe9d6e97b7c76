"""Names of files: each works, or is refused before anything is uploaded."""

import os
import subprocess
from pathlib import Path

import pytest

from modelcast.infra.stores import MemoryStore
from modelcast.producers import Publisher
from modelcast.producers.artifact import scan
from modelcast.producers.artifact.file_names import check_names
from modelcast.schemas.errors import Refused
from modelcast.schemas.manifest import Manifest


@pytest.mark.parametrize(
    "name",
    [
        "模" * 80,
        "模" * 85,
        "a" * 255,
        "/".join(["模" * 85] * 4),
        "trailing space ",
        " leading",
        "ends.",
        "CON",
        "aux.txt",
        "LPT1.bin",
        "a:b",
        "*?<>|",
        '"quoted"',
        "-rf",
        "é",
        "\u202eevil",
        "🦀",
        "%41",
        "a&b;c",
    ],
)
def test_these_are_carried(publisher: Publisher, store: MemoryStore, tmp_path: Path, name: str) -> None:
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_bytes(b"x")
    publication = publisher.publish("fraud", tmp_path)
    stored = store.get(f"manifests/sha256/{publication.manifest_digest[7:]}", size_max=1 << 20)
    found = [i.key for i in store.list("") if "manifest" in i.key]
    stored = stored or store.get(found[0], size_max=1 << 20)
    assert stored
    (file,) = Manifest.decode(stored.body, expected_digest=publication.manifest_digest).files
    assert file.path == name


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("a\nb", "control character"),
        ("a\x1bb", "control character"),
        ("a\x7f", "control character"),
        ("back\\slash", "backslash"),
        (os.fsdecode(b"latin-\xe9"), "no text in UTF-8"),
        ("/".join(["模" * 80] * 5), "1204 bytes, at most 1024"),
    ],
)
def test_these_are_refused_before_anything_is_uploaded(
    publisher: Publisher, store: MemoryStore, tmp_path: Path, name: str, why: str
) -> None:
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(Refused, match=why) as caught:
        publisher.publish("fraud", tmp_path)
    str(caught.value).encode()  # can be shown
    assert "rename it" in caught.value.hint
    assert list(store.list("")) == []


def test_a_name_that_no_file_system_here_takes_is_refused() -> None:
    with pytest.raises(Refused, match="258 bytes, at most 255"):
        check_names(["模" * 86])


def test_one_name_in_two_forms_is_refused(tmp_path: Path) -> None:
    for name in ("caf\u00e9.txt", "cafe\u0301.txt"):
        (tmp_path / name).write_bytes(b"x")
    with pytest.raises(Refused, match=r"two forms of Unicode: .*caf\\xe9"):
        scan(tmp_path)


def test_folders_in_two_forms_are_refused(tmp_path: Path) -> None:
    for name in ("caf\u00e9", "cafe\u0301"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a").write_bytes(b"x")
    with pytest.raises(Refused, match="two forms"):
        scan(tmp_path)


def test_names_that_differ_in_case_are_carried_and_told(tmp_path: Path) -> None:
    for name in ("Model.txt", "model.txt"):
        (tmp_path / name).write_bytes(name.encode())
    found = scan(tmp_path)
    assert len(found.files) == 2
    assert found.notes == ("Model.txt and model.txt are one file where file systems ignore case (macOS, Windows)",)


def test_a_folder_deeper_than_any_path_is_refused(tmp_path: Path) -> None:
    here = os.open(tmp_path, os.O_RDONLY)
    try:
        for _ in range(600):
            os.mkdir("d", dir_fd=here)
            below = os.open("d", os.O_RDONLY, dir_fd=here)
            os.close(here)
            here = below
        os.close(os.open("x", os.O_CREAT | os.O_WRONLY, dir_fd=here))
    finally:
        os.close(here)
    try:
        with pytest.raises(Refused, match="at most 1024"):
            scan(tmp_path)
    finally:  # pytest's own cleaning up is recursive, and this is too deep for it
        subprocess.run(["rm", "-rf", str(tmp_path / "d")], check=True)
