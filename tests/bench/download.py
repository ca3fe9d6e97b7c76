"""How fast a large object gets from a store to the disk, verified: Modelcast beside boto3, obstore and curl.

One object in versitygw over loopback. Every round has an order of its own (who writes after whom changes what a page of
the cache costs), and each runs in a process of its own (its CPU seconds are that process' own; the server's are beside
the point). ``curl`` goes to /dev/null and ``sha256`` reads the warm file: what is slower of the two is the bound.
``modelcast`` is the engine alone, ``modelcast fetch`` the whole call with fsync, a second look at the whole file and
rename; nobody else waits for the disk. ``direct`` writes past the page cache (``direct_writes``), the others through
it. A peer that is not here is named. MiB/s: medians with minimum and maximum.

    python -m tests.bench.download --json download.json [--rounds 5] [--mib 1024]
"""

import argparse
import hashlib
import json
import os
import random
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from tests.support.servers import S3ForTests, required_binary, start_versitygw

MIB = 1024 * 1024
KEY_FOLDER = "bench"
OBSTORE = os.environ.get("MODELCAST_BENCH_OBSTORE", sys.executable)
"""A Python that has obstore."""


def by_modelcast(job: dict[str, Any], *, direct: bool = False) -> None:
    """The engine alone: parts into a preallocated file, each block hashed."""
    from modelcast.consumers.fetch.download import Download
    from modelcast.consumers.fetch.incoming import Incoming
    from modelcast.consumers.fetch.link import Link
    from modelcast.consumers.fetch.plan import Step, Way, parts_of
    from modelcast.infra.stores import open_store
    from modelcast.schemas.manifest import Manifest

    store = open_store(f"s3://{job['bucket']}/{KEY_FOLDER}", endpoint_url=job["endpoint_url"])
    manifest = Manifest.decode(Path(job["manifest"]).read_bytes(), expected_digest=job["digest"])
    incoming = Incoming(Path(job["folder"]) / "incoming", Path(job["folder"]) / "artifact")
    incoming.begin(manifest)
    incoming.allocate(manifest.files)
    step = Step(manifest.files[0], Way.ORIGIN)
    download = Download(
        {Way.ORIGIN: store},
        lambda part: incoming.path(part.step.file),
        progress=lambda _: None,
        cancelled=lambda: False,
        distrust=lambda _: None,
        link=Link(direct_writes=direct),
    )
    download.run(parts_of([step], {step.file.digest: set(range(len(step.file.blocks)))}))
    assert download.arrived == {step.file.digest}


def by_modelcast_fetch(job: dict[str, Any], *, direct: bool = False) -> None:
    """The whole call: manifest, plan, download, verify, fsync, rename."""
    from modelcast.consumers.fetch import ArtifactCache, Fetcher
    from modelcast.consumers.fetch.link import Link
    from modelcast.infra.stores import open_store

    store = open_store(f"s3://{job['bucket']}/{KEY_FOLDER}", endpoint_url=job["endpoint_url"])
    link = Link(direct_writes=direct)
    Fetcher(store, None, ArtifactCache(Path(job["folder"])), link).fetch(job["digest"])


def by_boto3(job: dict[str, Any]) -> None:
    """``download_file``, then SHA-256."""
    import boto3

    target = Path(job["folder"]) / "file"
    boto3.client("s3", endpoint_url=job["endpoint_url"]).download_file(job["bucket"], job["key"], str(target))
    assert digest_of(target) == job["sha256"]


OBSTORE_PROGRAM = """
import concurrent.futures, hashlib, json, os, sys
import obstore
from obstore.store import S3Store
job = json.loads(sys.argv[1])
store = S3Store(job["bucket"], endpoint=job["endpoint_url"], client_options={"allow_http": True},
                virtual_hosted_style_request=False)
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
"""


def by_sha256(job: dict[str, Any]) -> None:
    """The warm file, hashed."""
    assert digest_of(Path(job["source"])) == job["sha256"]


HERE: dict[str, Callable[[dict[str, Any]], None]] = {
    "modelcast": by_modelcast,
    "modelcast direct": partial(by_modelcast, direct=True),
    "modelcast fetch": by_modelcast_fetch,
    "modelcast fetch direct": partial(by_modelcast_fetch, direct=True),
    "boto3": by_boto3,
    "sha256": by_sha256,
}
ENGINES = ("modelcast", "modelcast direct")


def digest_of(path: Path) -> str:
    """Hex SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def measured(name: str, job: dict[str, Any], folder: Path) -> dict[str, float]:
    """Seconds and CPU seconds of one transfer. Programs of ours say how long the work took, without their start."""
    target = folder / "target"
    target.mkdir()
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.perf_counter()
    text = json.dumps({**job, "folder": str(target)})
    if name == "curl":
        command = ["curl", "--silent", "--fail", "--output", os.devnull, job["url"]]
    elif name == "obstore":
        command = [OBSTORE, "-c", OBSTORE_PROGRAM, text]
    else:
        command = [sys.executable, "-m", "tests.bench.download", "--transfer", name, text]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    seconds = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    shutil.rmtree(target)
    if name in HERE:
        said = json.loads(done.stdout.splitlines()[-1])
        seconds, cpu = said["seconds"], said["cpu_seconds"]
    return {"seconds": seconds, "cpu_seconds": cpu}


def transfer(name: str, job: dict[str, Any]) -> None:
    """In a process of its own: one transfer, and what it took. Imports and the first signature are not counted."""
    import boto3

    import modelcast.consumers.fetch  # noqa: F401
    from modelcast.infra.stores import open_store

    boto3.client("s3", endpoint_url=job["endpoint_url"]).head_object(Bucket=job["bucket"], Key=job["key"])
    open_store(f"s3://{job['bucket']}/{KEY_FOLDER}", endpoint_url=job["endpoint_url"]).head("x")
    began, cpu = time.perf_counter(), time.process_time()
    HERE[name](job)
    print(json.dumps({"seconds": time.perf_counter() - began, "cpu_seconds": time.process_time() - cpu}))


def peers() -> tuple[list[str], dict[str, str]]:
    """Who takes part, and who is missing."""
    missing = {}
    if shutil.which("curl") is None:
        missing["curl"] = "not on the PATH: the bound is SHA-256 alone"
    if subprocess.run([OBSTORE, "-c", "import obstore"], capture_output=True, check=False).returncode:
        missing["obstore"] = "not installed: name a Python that has it in MODELCAST_BENCH_OBSTORE"
    names = ["curl", "sha256", *(name for name in HERE if name.startswith("modelcast")), "obstore", "boto3"]
    return [name for name in names if name not in missing], missing


def prepared(server: S3ForTests, folder: Path, mib: int) -> dict[str, Any]:
    """The object and what every transfer needs to know of it."""
    from modelcast.infra.stores import open_store
    from modelcast.producers.artifact import scan
    from modelcast.schemas import keys
    from tests.support.servers import client_for

    os.environ.update(server.env)
    bucket = server.bucket("bench")
    source = folder / "source" / "weights.bin"
    source.parent.mkdir()
    with source.open("wb") as file:
        for _ in range(mib // 16):
            file.write(os.urandom(16 * MIB))
    manifest = scan(source.parent).manifest
    entry = manifest.files[0]
    store = open_store(f"s3://{bucket}/{KEY_FOLDER}", endpoint_url=server.endpoint_url)
    store.upload(keys.blob(entry.digest), source, size_bytes=entry.size_bytes, digest=entry.digest)
    store.put(keys.manifest(manifest.digest), manifest.encode())
    (folder / "manifest.json").write_bytes(manifest.encode())
    key = f"{KEY_FOLDER}/{keys.blob(entry.digest)}"
    url = client_for(server.endpoint_url).generate_presigned_url(
        "get_object", Params={"Bucket": bucket, "Key": key}, ExpiresIn=24 * 3600
    )
    return {
        "bucket": bucket,
        "endpoint_url": server.endpoint_url,
        "key": key,
        "url": url,
        "size": entry.size_bytes,
        "sha256": entry.digest.removeprefix("sha256:"),
        "digest": manifest.digest,
        "manifest": str(folder / "manifest.json"),
        "source": str(source),
    }


def summary(runs: list[dict[str, float]], mib: int) -> dict[str, float]:
    """MiB/s and CPU seconds."""
    speeds = [mib / run["seconds"] for run in runs]
    cpus = [run["cpu_seconds"] for run in runs]
    return {
        "mib_per_second": statistics.median(speeds),
        "mib_per_second_min": min(speeds),
        "mib_per_second_max": max(speeds),
        "cpu_seconds": statistics.median(cpus),
        "cpu_seconds_min": min(cpus),
        "cpu_seconds_max": max(cpus),
    }


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, default=Path("download.json"))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--mib", type=int, default=1024)
    parser.add_argument("--transfer", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.transfer:
        transfer(options.transfer[0], json.loads(options.transfer[1]))
        return
    names, missing = peers()
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        child, server = start_versitygw(required_binary("versitygw", "MODELCAST_VERSITYGW"), folder / "server")
        try:
            job = prepared(server, folder, options.mib)
            for number in range(options.rounds + 1):
                for name in random.sample(names, len(names)):
                    run = measured(name, job, folder)
                    if number:  # the first warms up
                        runs[name].append(run)
        finally:
            child.stop()
    figures: dict[str, Any] = {name: summary(each, options.mib) for name, each in runs.items()}
    bounds = [figures[name]["mib_per_second"] for name in ("curl", "sha256") if name in figures]
    boto3 = figures["boto3"]
    for name in ENGINES:
        ours = figures[name]
        ours["of_boto3"] = ours["mib_per_second"] / boto3["mib_per_second"]
        ours["of_bound"] = ours["mib_per_second"] / min(bounds)
        ours["cpu_of_boto3"] = ours["cpu_seconds"] / boto3["cpu_seconds"]
    figures["missing"] = missing
    figures["mib"] = options.mib
    options.json.write_text(json.dumps(figures, indent=2) + "\n")
    print(f"{'':22} {'MiB/s':>8} {'min':>8} {'max':>8} {'CPU s':>8} {'min':>8} {'max':>8}")
    for name in names:
        f = figures[name]
        row = (f["mib_per_second"], f["mib_per_second_min"], f["mib_per_second_max"])
        cpu = (f["cpu_seconds"], f["cpu_seconds_min"], f["cpu_seconds_max"])
        print(f"{name:22} " + " ".join(f"{value:8.0f}" for value in row) + "".join(f" {value:8.2f}" for value in cpu))
    for name, why in missing.items():
        print(f"{name:22} {why}")
    print(
        f"{os.cpu_count()} cores, shared with the store; files go to one filesystem, emptied after each run; fsync: "
        "only modelcast fetch; direct: O_DIRECT, so whoever reads the file next reads the disk; the others: page cache"
    )
    for name in ENGINES:
        f = figures[name]
        print(
            f"{name}: {f['of_boto3']:.2f} x boto3 (aim >= 3), {f['of_bound']:.2f} of the slower of curl and sha256 "
            f"(aim >= 0.8), {f['cpu_of_boto3']:.2f} of boto3's CPU (aim <= 0.33)"
        )


if __name__ == "__main__":
    main()
