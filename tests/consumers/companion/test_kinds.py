"""What a companion needs to know of its server is said before it starts."""

from pathlib import Path

import pytest

from modelcast.consumers.artifacts.sources import FolderArtifacts
from modelcast.consumers.companion.kinds import ServerSettings, make_engine
from modelcast.consumers.companion.server_kinds import ServerKind
from modelcast.schemas.errors import ModelcastError, UsageError


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (ServerSettings("torch"), "one of triton, mlserver, kserve, tensorflow"),
        (ServerSettings("triton", "http://127.0.0.1:8000"), "grpc://127.0.0.1:8001"),
        (ServerSettings("triton"), "grpc://127.0.0.1:8001"),
        (ServerSettings("mlserver", "http://127.0.0.1:8080"), "--repository DIR"),
        (ServerSettings("kserve", "http://127.0.0.1:8080"), "--repository DIR"),
        (ServerSettings("kserve"), "http://127.0.0.1:8080"),
        (ServerSettings("webhook"), "--webhook FILE.toml"),
        (ServerSettings("folder"), "--repository DIR"),
        (ServerSettings("mlserver", "http://127.0.0.1:99999"), "Port out of range"),
    ],
)
def test_what_is_missing_is_named_with_what_to_say(tmp_path: Path, settings: ServerSettings, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        make_engine(settings, lambda: FolderArtifacts(tmp_path))


def test_a_server_that_is_no_url_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="http://127"):
        make_engine(ServerSettings("mlserver", "localhost", tmp_path / "r"), lambda: FolderArtifacts(tmp_path))


def test_a_command_that_does_not_parse_is_refused(tmp_path: Path) -> None:
    settings = ServerSettings("folder", repository=tmp_path / "r", command='echo "x')
    with pytest.raises(UsageError, match="--command"):
        make_engine(settings, lambda: FolderArtifacts(tmp_path))


def test_a_repository_that_can_not_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ModelcastError, match="can't be written"):
        make_engine(ServerSettings("folder", repository=tmp_path / "file"), lambda: FolderArtifacts(tmp_path))


@pytest.mark.parametrize("kind", ServerKind)
def test_every_kind_that_the_command_line_names_has_an_engine(kind: ServerKind, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--server|--repository|--webhook"):
        make_engine(ServerSettings(kind), lambda: FolderArtifacts(tmp_path))


@pytest.mark.parametrize("gap", [True, False])
def test_a_server_of_which_nothing_is_known_has_the_gap_that_its_user_says(gap: bool, tmp_path: Path) -> None:
    settings = ServerSettings("folder", repository=tmp_path / "r", gap=gap)
    assert make_engine(settings, lambda: FolderArtifacts(tmp_path)).capabilities.gapless is not gap
