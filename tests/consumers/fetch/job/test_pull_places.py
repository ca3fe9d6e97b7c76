"""Folders as people have them: mounted, all that one may write to, linked to, long of name, on odd file systems."""

import errno
import fcntl
import os
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from modelcast.consumers.fetch import ArtifactCache, Fetcher, pull
from modelcast.consumers.fetch.errors import NamesCollide
from modelcast.consumers.fetch.job import work_area
from modelcast.consumers.fetch.job.work_area import INSIDE
from modelcast.infra.files.locks import NoLocks, held
from modelcast.infra.stores import MemoryStore
from modelcast.schemas.digests import hex_of
from modelcast.schemas.errors import Refused, UsageError
from modelcast.schemas.manifest import Manifest
from tests.consumers.fetch.publishing import MIB, Wrapped, cached, noise, publish, tree

FILES = {"model.onnx": noise(2 * MIB, 1), "sub/labels.txt": b"cat\ndog\n", "config.json": b"{}"}
WITHOUT_LOCKS = [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS]
LONG = "模" * 80


class Looking(Wrapped):
    """Looks around whenever bytes come."""

    def __init__(self, store: MemoryStore, look: Callable[[], None]) -> None:
        super().__init__(store)
        self._look = look

    def on_read(self, count: int) -> None:
        super().on_read(count)
        self._look()


@contextmanager
def refusing_locks(number: int) -> Iterator[None]:
    def refused(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fcntl, "flock", refused)
        yield


def test_a_folder_that_is_there_is_filled_and_nothing_is_made_beside_it(tmp_path: Path) -> None:
    origin, out = MemoryStore(), tmp_path / "out"
    manifest = publish(origin, FILES)
    (out / "lost+found").mkdir(parents=True)
    out.chmod(0o750)
    before, seen = out.stat(), set[str]()
    pull(Looking(origin, lambda: seen.update(p.name for p in tmp_path.iterdir())), manifest.digest, out)
    assert seen == {"out"}
    assert tree(out) == FILES
    assert {p.name for p in out.iterdir()} == {"model.onnx", "sub", "config.json", "lost+found"}
    assert (out.stat().st_ino, out.stat().st_mode) == (before.st_ino, before.st_mode)


def test_a_mounted_folder_is_filled(on_small_disk: Callable[[str], str]) -> None:
    told = on_small_disk("mounted_pull_scenario.py").splitlines()
    assert [line for line in told if "[info" not in line] == ["killed", "goes-on", "whole", "full", "whole"]


def test_what_else_lies_in_a_folder_is_named(tmp_path: Path) -> None:
    origin = MemoryStore()
    manifest = publish(origin, FILES)
    (tmp_path / "mine.txt").write_bytes(b"mine")
    with pytest.raises(UsageError, match=r"not an empty folder: it holds 'mine\.txt'"):
        pull(origin, manifest.digest, tmp_path)
    assert tree(tmp_path) == {"mine.txt": b"mine"}


def test_a_link_to_a_folder_is_followed_and_one_to_nowhere_refused(tmp_path: Path) -> None:
    origin = MemoryStore()
    manifest = publish(origin, FILES)
    (tmp_path / "disk").mkdir()
    (tmp_path / "out").symlink_to("disk")
    pull(origin, manifest.digest, tmp_path / "out")
    assert tree(tmp_path / "disk") == FILES
    (tmp_path / "gone").symlink_to("nowhere")
    with pytest.raises(UsageError, match="a link to nowhere"):
        pull(origin, manifest.digest, tmp_path / "gone")
    (tmp_path / "file").write_bytes(b"x")
    (tmp_path / "to-file").symlink_to("file")
    with pytest.raises(UsageError, match="not an empty folder"):
        pull(origin, manifest.digest, tmp_path / "to-file")


def test_a_place_that_can_t_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    origin = MemoryStore()
    manifest = publish(origin, FILES)
    (tmp_path / "file").write_bytes(b"x")
    with pytest.raises(UsageError, match="can't be written: not a directory"):
        pull(origin, manifest.digest, tmp_path / "file" / "out")
    with pytest.raises(UsageError, match="can't be written: file name too long"):
        pull(origin, manifest.digest, tmp_path / ("模" * 90) / "out")

    def read_only(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(Path, "mkdir", read_only)
    with pytest.raises(UsageError, match="can't be written: read-only file system") as caught:
        pull(origin, manifest.digest, tmp_path / "out")
    assert caught.value.subject == str(tmp_path / "out")


def test_names_are_as_long_as_file_systems_allow(tmp_path: Path) -> None:
    origin = MemoryStore()
    files = {f"{LONG}/{LONG}.onnx": b"x" * 1000, f"{LONG}/{'a' * 255}": b"y"}
    manifest = publish(origin, files)
    for name in (LONG, "b" * 255):
        pull(origin, manifest.digest, tmp_path / name)
        assert tree(tmp_path / name) == files
    assert {p.name for p in tmp_path.iterdir()} == {LONG, "b" * 255}


def test_files_with_the_same_bytes_are_files_of_their_own(tmp_path: Path, cache: ArtifactCache) -> None:
    origin, files = MemoryStore(), {"a.onnx": noise(3 * MIB, 1), "b.onnx": noise(3 * MIB, 1), "c/a": b"", "c/b": b""}
    manifest = publish(origin, files)
    pull(origin, manifest.digest, tmp_path / "out")
    assert {p.stat().st_nlink for p in (tmp_path / "out").rglob("*") if p.is_file()} == {1}
    with (tmp_path / "out/a.onnx").open("r+b") as file:
        file.write(b"edited")
    assert tree(tmp_path / "out") | {"a.onnx": b""} == files | {"a.onnx": b""}
    Fetcher(origin, None, cache).fetch(manifest.digest)
    with cache.open(manifest.digest) as folder:
        assert (folder / "a.onnx").stat().st_nlink == 2, "a cache keeps them once"


@pytest.mark.parametrize("number", WITHOUT_LOCKS)
def test_where_nothing_can_be_locked_a_pull_works_alone(tmp_path: Path, number: int) -> None:
    origin = MemoryStore()
    manifest = publish(origin, FILES)
    (tmp_path / "there").mkdir()
    with refusing_locks(number):
        for name in ("there", "new"):
            pull(origin, manifest.digest, tmp_path / name)
            assert tree(tmp_path / name) == FILES


@pytest.mark.parametrize("number", WITHOUT_LOCKS)
def test_where_nothing_can_be_locked_a_shared_cache_says_so(tmp_path: Path, number: int) -> None:
    with refusing_locks(number), pytest.raises(NoLocks, match="can't lock files") as caught:
        ArtifactCache(tmp_path / "cache")
    assert str(tmp_path / "cache") in caught.value.subject
    assert "local disk" in caught.value.hint


def test_one_pull_at_a_time_fills_a_folder(tmp_path: Path) -> None:
    origin = MemoryStore()
    manifest = publish(origin, FILES)
    area = tmp_path / "out" / INSIDE
    area.mkdir(parents=True)
    with held(area / "lock"), pytest.raises(Refused, match="another pull is filling it"):
        pull(origin, manifest.digest, tmp_path / "out")
    pull(origin, manifest.digest, tmp_path / "out")
    assert tree(tmp_path / "out") == FILES


@pytest.mark.parametrize("name", ["out", "new"])
def test_who_comes_while_another_pull_ends_finds_its_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    origin, out, acquire = MemoryStore(), tmp_path / name, work_area.acquire
    manifest = publish(origin, FILES)
    (tmp_path / "out").mkdir()

    def later(*args: Path, **more: bool) -> int | None:
        monkeypatch.setattr(work_area, "acquire", acquire)
        pull(origin, manifest.digest, out)
        return acquire(*args, **more)

    monkeypatch.setattr(work_area, "acquire", later)
    with pytest.raises(UsageError, match="not an empty folder"):
        pull(origin, manifest.digest, out)
    assert tree(out) == FILES
    assert {p.name for p in tmp_path.iterdir()} == {"out", name}


KILLED = """
import os, signal, sys
from pathlib import Path
from modelcast.consumers.fetch import pull
from modelcast.infra.stores import MemoryStore
from tests.consumers.fetch.publishing import publish
from tests.consumers.fetch.job.test_pull_places import FILES
out, rename, moved = Path(sys.argv[1]), Path.rename, []
def dying(self, target):
    if Path(target).parent == out:
        moved.append(target)
        if len(moved) == 2:
            os.kill(os.getpid(), signal.SIGKILL)
    return rename(self, target)
Path.rename = dying
origin = MemoryStore()
pull(origin, publish(origin, FILES).digest, out)
"""


def killed_while_its_files_move(out: Path) -> None:
    out.mkdir()
    done = subprocess.run([sys.executable, "-c", KILLED, out], cwd=Path(__file__).parents[4], check=False, timeout=120)
    assert done.returncode == -9
    assert len([p for p in out.iterdir() if p.name != INSIDE]) == 1


def test_killed_while_its_files_move_it_goes_on_without_a_byte(tmp_path: Path) -> None:
    killed_while_its_files_move(tmp_path / "out")
    origin = Wrapped(MemoryStore())
    pull(origin, publish(origin, FILES).digest, tmp_path / "out")
    assert tree(tmp_path / "out") == FILES
    assert origin.blob_bytes_read == 0


def test_after_a_kill_another_version_leaves_nothing_of_the_first(tmp_path: Path) -> None:
    killed_while_its_files_move(tmp_path / "out")
    origin = MemoryStore()
    pull(origin, publish(origin, {"other": b"other"}).digest, tmp_path / "out")
    assert tree(tmp_path / "out") == {"other": b"other"}


def test_what_a_kill_left_is_looked_at_again(tmp_path: Path) -> None:
    out = tmp_path / "out"
    killed_while_its_files_move(out)
    origin = MemoryStore()
    manifest = publish(origin, FILES)
    whole = out / INSIDE / "artifacts" / hex_of(manifest.digest) / "files"
    for path in (out / "config.json", whole / "model.onnx"):
        path.write_bytes(b"touched")
    pull(origin, manifest.digest, out)
    assert tree(out) == FILES


def test_a_move_that_fails_is_undone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    origin, out, rename = MemoryStore(), tmp_path / "out", Path.rename
    manifest = publish(origin, FILES)
    out.mkdir()

    def failing(self: Path, target: Path) -> Path:
        if target == out / "sub":
            raise OSError(errno.EIO, "no", str(target))
        return rename(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", failing)
        with pytest.raises(OSError, match="no"):
            pull(origin, manifest.digest, out)
    assert {p.name for p in out.iterdir()} == {INSIDE}
    pull(origin, manifest.digest, out)
    assert tree(out) == FILES


def test_what_somebody_else_put_there_meanwhile_stays(tmp_path: Path) -> None:
    origin, out = MemoryStore(), tmp_path / "out"
    manifest = publish(origin, FILES)
    out.mkdir()
    with pytest.raises(UsageError, match=r"it holds 'config\.json'"):
        pull(Looking(origin, lambda: (out / "config.json").touch()), manifest.digest, out)
    assert {p.name for p in out.iterdir()} == {INSIDE, "config.json"}
    assert (out / "config.json").read_bytes() == b""


def test_names_that_are_one_on_this_file_system_are_refused_before_a_byte_comes(cache: ArtifactCache) -> None:
    origin = Wrapped(MemoryStore())
    manifest: Manifest = publish(origin, {"A/x": b"one", "a/X": b"two", "b": b"three"})
    incoming = cache.folder / "incoming" / hex_of(manifest.digest) / "files"
    (incoming / "A").mkdir(parents=True)
    (incoming / "a").mkdir()
    (incoming / "A/x").touch()
    os.link(incoming / "A/x", incoming / "a/X")  # as a file system shows them that ignores case
    with pytest.raises(NamesCollide, match="'A/x' and 'a/X' are one file on this file system"):
        Fetcher(origin, None, cache).fetch(manifest.digest)
    assert origin.blob_bytes_read == 0
    (incoming / "a/X").unlink()
    Fetcher(origin, None, cache).fetch(manifest.digest)
    assert cached(cache, manifest) == {"A/x": b"one", "a/X": b"two", "b": b"three"}


LIMITED = """
import resource, sys
from pathlib import Path
from modelcast.consumers.fetch import DiskFull, pull
from modelcast.infra.stores import MemoryStore
from tests.consumers.fetch.publishing import publish
from tests.consumers.fetch.job.test_pull_places import FILES
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
origin = MemoryStore()
try:
    pull(origin, publish(origin, FILES).digest, Path(sys.argv[1]))
except DiskFull as error:
    print(error)
"""


def test_a_file_larger_than_may_be_written_is_no_traceback(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-B", "-c", LIMITED, tmp_path / "out"],
        cwd=Path(__file__).parents[4],
        check=True,
        timeout=120,
        capture_output=True,
        text=True,
    )
    assert f"{tmp_path / 'out'}: a file is larger than" in done.stdout
    assert "a larger disk" in done.stdout


def test_folders_are_as_deep_as_paths_allow(tmp_path: Path) -> None:
    origin = MemoryStore()
    files = {"/".join("d" * 500) + "/f": b"deep", "/".join("模" * 200) + "/f": b"deep, too"}
    manifest = publish(origin, files)
    pull(origin, manifest.digest, tmp_path / "out")
    assert tree(tmp_path / "out") == files
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


NOBODY = 65534


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody who may not write everywhere")
def test_one_s_own_folder_under_a_parent_that_can_t_be_written_is_filled(tmp_path: Path) -> None:
    origin = MemoryStore()
    manifest = publish(origin, FILES)
    pull(origin, manifest.digest, tmp_path / "before")  # has everything imported: the child may not read it
    with tempfile.TemporaryDirectory() as name:
        parent = Path(name)
        parent.chmod(0o755)
        (parent / "mine").mkdir()
        os.chown(parent / "mine", NOBODY, NOBODY)
        child = os.fork()
        if not child:
            try:
                os.setgid(NOBODY)
                os.setuid(NOBODY)
                with pytest.raises(UsageError, match="can't be written: permission denied"):
                    pull(origin, manifest.digest, parent / "new")
                pull(origin, manifest.digest, parent / "mine")
                os._exit(0)
            except BaseException:
                traceback.print_exc()
                os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert tree(parent / "mine") == FILES
        assert [p.name for p in parent.iterdir()] == ["mine"]


def test_a_place_where_no_folder_can_be_made_is_not_taken_for_one_that_another_fills() -> None:
    with pytest.raises(UsageError, match=r"/proc/x: no folder can be made there"), work_area.work_area(Path("/proc/x")):
        pass
