"""One transfer of the download bench, in a process of its own that says what it took.

python -m tests.bench.transfer.transfers NAME JOB
"""

import hashlib
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from modelcast.schemas.ports import ObjectStore

MIB = 1024 * 1024
KEY_FOLDER = "bench"


def by_engine(job: dict[str, Any]) -> None:
    """The engine alone: parts into a preallocated file, each block hashed."""
    from modelcast.consumers.fetch.cache.incoming import Incoming
    from modelcast.consumers.fetch.context import Context
    from modelcast.consumers.fetch.job.destination import IncomingFiles
    from modelcast.consumers.fetch.planning.parts import parts_of
    from modelcast.consumers.fetch.planning.steps import Source, Step, Way
    from modelcast.consumers.fetch.transfer.download import Download
    from modelcast.consumers.fetch.transfer.link import Link
    from modelcast.infra.stores import open_store
    from modelcast.schemas.manifest import Manifest

    store = open_store(f"s3://{job['bucket']}/{KEY_FOLDER}", endpoint_url=job["endpoint_url"])
    manifest = Manifest.decode(Path(job["manifest"]).read_bytes(), expected_digest=job["digest"])
    incoming = Incoming(Path(job["folder"]) / "incoming", Path(job["folder"]) / "artifact")
    incoming.begin(manifest)
    incoming.allocate(manifest.files)
    step = Step(manifest.files[0], Way.WHOLE)
    download = Download(
        {Source.ORIGIN: store},
        IncomingFiles(incoming),
        context=Context(),
        link=Link(),
    )
    download.run(parts_of([step], {step.file.digest: set(range(len(step.file.blocks)))}))
    assert download.arrived == {step.file.digest}


def by_fetch(job: dict[str, Any]) -> None:
    """The whole call: manifest, plan, download, verify, fsync, rename."""
    _fetch(job, None)


def by_region(job: dict[str, Any]) -> None:
    """The whole call, and the regional bucket has it too."""
    from modelcast.infra.stores import open_store

    _fetch(job, open_store(f"s3://{job['region_bucket']}", endpoint_url=job["endpoint_url"]))


def _fetch(job: dict[str, Any], region: "ObjectStore | None") -> None:
    from modelcast.consumers.fetch import ArtifactCache, Fetcher, Link
    from modelcast.infra.stores import open_store

    store = open_store(f"s3://{job['bucket']}/{KEY_FOLDER}", endpoint_url=job["endpoint_url"])
    Fetcher(store, region, ArtifactCache(Path(job["folder"])), Link()).fetch(job["digest"])


def by_boto3(job: dict[str, Any]) -> None:
    """``download_file``, then SHA-256."""
    import boto3

    target = Path(job["folder"]) / "file"
    boto3.client("s3", endpoint_url=job["endpoint_url"]).download_file(job["bucket"], job["key"], str(target))
    assert digest_of(target) == job["sha256"]


OBSTORE_PROGRAM = """
import concurrent.futures, hashlib, json, os, sys, time
import obstore
from obstore.store import S3Store
job = json.loads(sys.argv[1])
store = S3Store(job["bucket"], endpoint=job["endpoint_url"], client_options={"allow_http": True},
                virtual_hosted_style_request=False)
obstore.head(store, job["key"])
began, cpu = time.perf_counter(), time.process_time()
size, part = job["size"], 8 << 20
fd = os.open(job["folder"] + "/file", os.O_RDWR | os.O_CREAT)
os.posix_fallocate(fd, 0, size)
def bring(start):
    end = min(start + part, size)
    os.pwrite(fd, obstore.get_range(store, job["key"], start=start, end=end), start)
with concurrent.futures.ThreadPoolExecutor(4) as pool:
    list(pool.map(bring, range(0, size, part)))
with open(job["folder"] + "/file", "rb") as file:
    assert hashlib.file_digest(file, "sha256").hexdigest() == job["sha256"]
print(json.dumps({"seconds": time.perf_counter() - began, "cpu_seconds": time.process_time() - cpu}))
"""


def by_sha256(job: dict[str, Any]) -> None:
    """The warm file, hashed."""
    assert digest_of(Path(job["source"])) == job["sha256"]


OURS = {"engine": by_engine, "fetch": by_fetch, "region": by_region}
READ_AFTER = ("fetch", "region")
HERE: dict[str, Callable[[dict[str, Any]], None]] = {
    **OURS,
    "boto3": by_boto3,
    "sha256": by_sha256,
}


def digest_of(path: Path) -> str:
    """Hex SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_to_the_end(folder: Path) -> None:
    """The large file below ``folder``, as a pod reads it that has just been told to load it."""
    path = max((path for path in folder.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)
    buffer = bytearray(MIB)
    with path.open("rb", buffering=0) as file:
        while file.readinto(buffer):
            pass


def transfer(name: str, job: dict[str, Any]) -> None:
    """In a process of its own: one transfer, and what it took. Imports and the first signature are not counted."""
    import boto3

    import modelcast.consumers.fetch  # noqa: F401
    from modelcast.infra.stores import open_store

    boto3.client("s3", endpoint_url=job["endpoint_url"]).head_object(Bucket=job["bucket"], Key=job["key"])
    open_store(f"s3://{job['bucket']}/{KEY_FOLDER}", endpoint_url=job["endpoint_url"]).head("x")
    began, cpu = time.perf_counter(), time.process_time()
    HERE[name](job)
    run = {"seconds": time.perf_counter() - began, "cpu_seconds": time.process_time() - cpu}
    if name.startswith(READ_AFTER):
        read_to_the_end(Path(job["folder"]))
        run["loaded_seconds"] = time.perf_counter() - began
        run["loaded_cpu_seconds"] = time.process_time() - cpu
    print(json.dumps(run))


if __name__ == "__main__":
    transfer(sys.argv[1], json.loads(sys.argv[2]))
