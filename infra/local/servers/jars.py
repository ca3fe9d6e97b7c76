"""Kafka's jars: listed with their SHA-256 in ``kafka.lock``, fetched once through jgo, verified at every start."""

import os
import shutil
import ssl
import tempfile
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from modelcast.infra.files import held, sha256_of_file, user_cache
from modelcast.infra.local.errors import DownloadFailed, JarRefused
from modelcast.infra.local.progress import SILENT, Progress

FETCHES_AT_ONCE = 8
FETCH_TIMEOUT_SECONDS = 60
SYSTEM_CA_BUNDLES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem")


@dataclass(frozen=True, slots=True)
class LockedJar:
    """One line of the lock: Maven coordinates and the only content that is accepted for them."""

    group: str
    artifact: str
    version: str
    sha256: str

    @property
    def coordinates(self) -> str:
        """``group:artifact:version``."""
        return f"{self.group}:{self.artifact}:{self.version}"

    @property
    def file_name(self) -> str:
        """Name in the cache; unique within one lock."""
        return f"{self.group}.{self.artifact}-{self.version}.jar"


def parse_lock(text: str) -> tuple[LockedJar, ...]:
    """Read ``group:artifact:version sha256`` lines."""
    jars = []
    for line in text.split("\n"):
        if line and not line.startswith("#"):
            coordinates, sha256 = line.split()
            group, artifact, version = coordinates.split(":")
            jars.append(LockedJar(group, artifact, version, sha256))
    return tuple(jars)


def kafka_lock() -> tuple[LockedJar, ...]:
    """The jars of the embedded Kafka."""
    return parse_lock((files("modelcast.infra.local.servers") / "kafka.lock").read_text())


def cache_dir() -> Path:
    """Where fetched files stay between runs: ``MODELCAST_CACHE_DIR``, else ``modelcast`` in the user's cache.

    Raises:
        DownloadFailed: neither is known.
    """
    if override := os.environ.get("MODELCAST_CACHE_DIR"):
        return Path(override)
    found = user_cache()
    if found is None:
        raise DownloadFailed("this user has no home to keep fetched files in", hint="set MODELCAST_CACHE_DIR or HOME")
    return found


def ensure_jars(jars: Iterable[LockedJar], *, folder: Path | None = None, progress: Progress = SILENT) -> list[Path]:
    """Return the verified jar files, fetching those that are missing or damaged.

    Args:
        jars: what is needed.
        folder: where they are kept; ``jars`` in the cache folder if None.
        progress: called with each fetched jar.

    Raises:
        DownloadFailed: one could not be fetched.
        JarRefused: one was fetched, and its content is not the locked one.
    """
    folder = folder or cache_dir() / "jars"
    wanted = {jar: folder / jar.file_name for jar in jars}
    if any(not _intact(path, jar.sha256) for jar, path in wanted.items()):
        folder.mkdir(parents=True, exist_ok=True)
        with _alone_in(folder):
            missing = [jar for jar, path in wanted.items() if not _intact(path, jar.sha256)]
            if missing:
                _fetch(missing, folder, progress)
    return list(wanted.values())


def _intact(path: Path, sha256: str) -> bool:
    try:
        return sha256_of_file(path) == f"sha256:{sha256}"
    except FileNotFoundError:
        return False


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    with held(folder / ".lock"):
        for leftover in folder.glob(".fetch-*"):
            shutil.rmtree(leftover, ignore_errors=True)
        yield


def _fetch(jars: list[LockedJar], folder: Path, progress: Progress) -> None:
    from jgo.maven import MavenContext

    mirror = os.environ.get("MODELCAST_MAVEN_MIRROR")
    staging = Path(tempfile.mkdtemp(prefix=".fetch-", dir=folder))
    context = MavenContext(
        repo_cache=staging,
        local_repos=[Path.home() / ".m2" / "repository"],
        remote_repos={"mirror": mirror} if mirror else None,
        timeout=FETCH_TIMEOUT_SECONDS,
    )

    def fetch(jar: LockedJar) -> LockedJar:
        try:
            found = Path(context.create_dependency(jar.coordinates).artifact.resolve())
        except Exception as error:
            raise DownloadFailed(
                f"could not be fetched: {error}",
                subject=jar.coordinates,
                hint="the first start needs the network; check proxy and certificate settings, then try again",
            ) from error
        if not _intact(found, jar.sha256):
            raise JarRefused("its SHA-256 is not the locked one", subject=jar.coordinates)
        arrived = staging / jar.file_name
        shutil.copyfile(found, arrived)
        arrived.replace(folder / jar.file_name)
        return jar

    try:
        with _system_certificates(), ThreadPoolExecutor(FETCHES_AT_ONCE) as pool:
            futures = [pool.submit(fetch, jar) for jar in jars]
            try:
                for done, future in enumerate(futures, 1):
                    progress.step(f"fetching Kafka: {done} of {len(jars)}, {future.result().artifact}")
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
    finally:
        shutil.rmtree(staging, ignore_errors=True)


@contextmanager
def _system_certificates() -> Iterator[None]:
    """Trust what the machine trusts: jgo's HTTP client would only know its own list and two variables."""
    names = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
    if any(os.environ.get(name) for name in names):
        yield
        return
    candidates = [os.environ.get("SSL_CERT_FILE"), ssl.get_default_verify_paths().cafile, *SYSTEM_CA_BUNDLES]
    bundle = next((path for path in candidates if path and Path(path).is_file()), None)
    if bundle:
        os.environ[names[0]] = bundle
    try:
        yield
    finally:
        if bundle:
            del os.environ[names[0]]
