"""Jars are fetched once, and only the locked bytes are accepted."""

import hashlib
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from modelcast.infra.local.errors import DownloadFailed, JarRefused
from modelcast.infra.local.servers.jars import LockedJar, cache_dir, ensure_jars, kafka_lock, parse_lock

GOOD = b"the locked bytes"


class Repository(SimpleHTTPRequestHandler):
    """A Maven repository in a folder, which counts."""

    served: list[str]

    def do_GET(self) -> None:
        self.served.append(self.path)
        super().do_GET()

    def log_message(self, *args: object) -> None:
        """Say nothing."""


def jar(name: str, content: bytes = GOOD) -> LockedJar:
    return LockedJar("org.example", name, "1.0", hashlib.sha256(content).hexdigest())


def put(root: Path, name: str, content: bytes) -> None:
    folder = root / "org" / "example" / name / "1.0"
    folder.mkdir(parents=True)
    (folder / f"{name}-1.0.jar").write_bytes(content)


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    root = tmp_path / "repository"
    for name in "abc":
        put(root, name, GOOD)
    put(root, "evil", b"other bytes")
    Repository.served = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Repository, directory=str(root)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("MODELCAST_MAVEN_MIRROR", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("HOME", str(tmp_path))
    yield Repository.served
    server.shutdown()
    server.server_close()


def jars_served(served: list[str]) -> list[str]:
    return [path for path in served if path.endswith(".jar")]


def test_jars_are_fetched_once(served: list[str], tmp_path: Path) -> None:
    wanted = [jar("a"), jar("b"), jar("c")]
    paths = ensure_jars(wanted, folder=tmp_path / "jars")
    assert [path.read_bytes() for path in paths] == [GOOD] * 3
    assert len(jars_served(served)) == 3
    assert ensure_jars(wanted, folder=tmp_path / "jars") == paths
    assert len(jars_served(served)) == 3


def test_a_damaged_jar_is_fetched_again(served: list[str], tmp_path: Path) -> None:
    [path] = ensure_jars([jar("a")], folder=tmp_path / "jars")
    path.write_bytes(b"rot")
    assert ensure_jars([jar("a")], folder=tmp_path / "jars") == [path]
    assert path.read_bytes() == GOOD
    assert len(jars_served(served)) == 2


def test_other_bytes_than_the_locked_ones_are_refused_and_not_kept(served: list[str], tmp_path: Path) -> None:
    with pytest.raises(JarRefused, match=r"org\.example:evil:1\.0"):
        ensure_jars([jar("a"), jar("evil")], folder=tmp_path / "jars")
    assert not list((tmp_path / "jars").glob("*evil*"))
    assert not list((tmp_path / "jars").glob(".fetch-*"))


def test_a_missing_jar_says_what_to_do(served: list[str], tmp_path: Path) -> None:
    with pytest.raises(DownloadFailed, match="proxy") as failure:
        ensure_jars([jar("nowhere")], folder=tmp_path / "jars")
    assert failure.value.subject == "org.example:nowhere:1.0"


def test_two_at_once_fetch_each_jar_once(served: list[str], tmp_path: Path) -> None:
    wanted = [jar("a"), jar("b"), jar("c")]
    threads = [threading.Thread(target=ensure_jars, args=(wanted,), kwargs={"folder": tmp_path / "jars"}) for _ in "12"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(jars_served(served)) == 3


def test_progress_counts_the_jars(served: list[str], tmp_path: Path) -> None:
    class Steps(list[str]):
        step = list.append

    steps = Steps()
    ensure_jars([jar("a"), jar("b")], folder=tmp_path / "jars", progress=steps)
    assert [step.split(",")[0] for step in steps] == ["fetching Kafka: 1 of 2", "fetching Kafka: 2 of 2"]


def test_the_lock_is_one_release_of_kafka_and_names_no_host() -> None:
    jars = kafka_lock()
    assert len({each.version for each in jars if each.group == "org.apache.kafka"}) == 1
    assert "kafka_2.13" in {each.artifact for each in jars}
    assert all(len(each.sha256) == 64 for each in jars)
    assert len({each.file_name for each in jars}) == len(jars)


def test_a_lock_line_with_something_missing_is_an_error() -> None:
    with pytest.raises(ValueError, match="unpack"):
        parse_lock("group:artifact abc")


def test_the_cache_folder_follows_the_usual_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/someone")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.delenv("MODELCAST_CACHE_DIR", raising=False)
    assert cache_dir() == Path("/home/someone/.cache/modelcast")
    monkeypatch.setenv("XDG_CACHE_HOME", "/cache")
    assert cache_dir() == Path("/cache/modelcast")
    monkeypatch.setenv("MODELCAST_CACHE_DIR", "/elsewhere")
    assert cache_dir() == Path("/elsewhere")
