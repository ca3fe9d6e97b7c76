"""How fast a large object gets from a store to the disk, verified: Modelcast beside boto3, obstore and curl.

One object in versitygw over loopback. Every round has an order of its own (who writes after whom changes what a page of
the cache costs), and each runs in a process of its own (its CPU seconds are that process' own, without imports and the
first signature; the server's are beside the point). ``curl`` goes to /dev/null and ``sha256`` reads the warm file: what
is slower of the two is the bound. ``engine`` is the download alone, ``fetch`` the whole call with fsync, a second look
at the whole file and rename; nobody else waits for the disk. ``region`` is a whole fetch that also fills a regional
bucket (in the same server). ``+ read`` adds what it takes to read the file to its end afterwards, through the page
cache, as a pod does first. ``auto`` is how a worker does it unless told otherwise (``direct_writes = "auto"``, with
what measuring the disk takes), ``direct`` past the page cache, ``cached`` through it. A peer that is not here is named.
MiB/s: medians with minimum and maximum.

    python -m tests.bench.download --json download.json [--rounds 5] [--mib 1024] [--only NAME …]
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
from typing import TYPE_CHECKING, Any

from tests.support.servers import S3ForTests, required_binary, start_versitygw

if TYPE_CHECKING:
    from modelcast.consumers.fetch.link import Link
    from modelcast.schemas.ports import ObjectStore

MIB = 1024 * 1024
KEY_FOLDER = "bench"
OBSTORE = os.environ.get("MODELCAST_BENCH_OBSTORE", sys.executable)
"""A Python that has obstore."""


def link_of(how: str) -> "Link":
    """What a worker's settings make of ``direct_writes``."""
    from modelcast.consumers.fetch.disks import Disks
    from modelcast.consumers.fetch.link import Link

    return Link(direct_writes={"auto": Disks(), "direct": True, "cached": False}[how])


def by_engine(job: dict[str, Any], how: str) -> None:
    """The engine alone: parts into a preallocated file, each block hashed."""
    from modelcast.consumers.fetch.download import Download
    from modelcast.consumers.fetch.incoming import Incoming
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
        link=link_of(how),
    )
    download.run(parts_of([step], {step.file.digest: set(range(len(step.file.blocks)))}))
    assert download.arrived == {step.file.digest}


def by_fetch(job: dict[str, Any], how: str) -> None:
    """The whole call: manifest, plan, download, verify, fsync, rename."""
    _fetch(job, how, None)


def by_region(job: dict[str, Any], how: str) -> None:
    """The whole call, and the regional bucket has it too."""
    from modelcast.infra.stores import open_store

    _fetch(job, how, open_store(f"s3://{job['region_bucket']}", endpoint_url=job["endpoint_url"]))


def _fetch(job: dict[str, Any], how: str, region: "ObjectStore | None") -> None:
    from modelcast.consumers.fetch import ArtifactCache, Fetcher
    from modelcast.infra.stores import open_store

    store = open_store(f"s3://{job['bucket']}/{KEY_FOLDER}", endpoint_url=job["endpoint_url"])
    Fetcher(store, region, ArtifactCache(Path(job["folder"])), link_of(how)).fetch(job["digest"])


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


HOW = ("auto", "direct", "cached")
ENGINES = tuple(f"engine {how}" for how in HOW)
OURS = {"engine": by_engine, "fetch": by_fetch, "region": by_region}
READ_AFTER = ("fetch", "region")
HERE: dict[str, Callable[[dict[str, Any]], None]] = {
    **{f"{what} {how}": partial(by, how=how) for what, by in OURS.items() for how in HOW},
    "boto3": by_boto3,
    "sha256": by_sha256,
}
NAMES = ("curl", "sha256", *(name for name in HERE if name not in ("boto3", "sha256")), "obstore", "boto3")


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


def measured(name: str, job: dict[str, Any], folder: Path) -> dict[str, float]:
    """Seconds and CPU seconds of one transfer into ``folder``, and of reading the file afterwards."""
    target = Path(tempfile.mkdtemp(dir=folder))
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.perf_counter()
    text = json.dumps({**job, "folder": str(target)})
    if name == "curl":
        command = ["curl", "--silent", "--fail", "--output", os.devnull, job["url"]]
    elif name == "obstore":
        command = [OBSTORE, "-c", OBSTORE_PROGRAM, text]
    else:
        command = [sys.executable, "-m", "tests.bench.download", "--transfer", name, text]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    seconds = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    shutil.rmtree(target)
    run: dict[str, float] = {"seconds": seconds, "cpu_seconds": cpu}
    if name != "curl":  # programs of ours say how long the work took, without their start
        run = json.loads(done.stdout.splitlines()[-1])
    return run


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


def peers(only: list[str]) -> tuple[list[str], dict[str, str]]:
    """Who takes part, and who is missing."""
    missing = {}
    if shutil.which("curl") is None:
        missing["curl"] = "not on the PATH: the bound is SHA-256 alone"
    if subprocess.run([OBSTORE, "-c", "import obstore"], capture_output=True, check=False).returncode:
        missing["obstore"] = "not installed: name a Python that has it in MODELCAST_BENCH_OBSTORE"
    return [name for name in NAMES if name not in missing and (not only or name in only)], missing


def emptied(bucket: str, endpoint_url: str) -> None:
    """Remove what a transfer left in a bucket."""
    from tests.support.servers import client_for

    client = client_for(endpoint_url)
    for found in client.list_objects_v2(Bucket=bucket).get("Contents", []):
        client.delete_object(Bucket=bucket, Key=found["Key"])


def prepared(server: S3ForTests, folder: Path, mib: int) -> dict[str, Any]:
    """The object and what every transfer needs to know of it."""
    from modelcast.infra.stores import open_store
    from modelcast.producers.artifact import scan
    from modelcast.schemas import keys
    from tests.support.servers import client_for

    os.environ.update(server.env)
    bucket, region_bucket = server.bucket("bench"), server.bucket("region")
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
        "region_bucket": region_bucket,
        "endpoint_url": server.endpoint_url,
        "key": key,
        "url": url,
        "size": entry.size_bytes,
        "sha256": entry.digest.removeprefix("sha256:"),
        "digest": manifest.digest,
        "manifest": str(folder / "manifest.json"),
        "source": str(source),
    }


def summary(runs: list[dict[str, float]], mib: int, what: str = "") -> dict[str, float]:
    """MiB/s and CPU seconds."""
    speeds = [mib / run[f"{what}seconds"] for run in runs]
    cpus = [run[f"{what}cpu_seconds"] for run in runs]
    return {
        "mib_per_second": statistics.median(speeds),
        "mib_per_second_min": min(speeds),
        "mib_per_second_max": max(speeds),
        "cpu_seconds": statistics.median(cpus),
        "cpu_seconds_min": min(cpus),
        "cpu_seconds_max": max(cpus),
    }


def figures_of(runs: dict[str, list[dict[str, float]]], mib: int) -> dict[str, Any]:
    """All rows; those of the engine also as ratios to the bound and to boto3, as far as these took part."""
    figures: dict[str, Any] = {}
    for name, each in runs.items():
        figures[name] = summary(each, mib)
        if "loaded_seconds" in each[0]:
            figures[f"{name} + read"] = summary(each, mib, "loaded_")
    bounds = [figures[name]["mib_per_second"] for name in ("curl", "sha256") if name in figures]
    for name in ENGINES:
        ours, boto3 = figures.get(name), figures.get("boto3")
        if ours and boto3 and bounds:
            ours["of_boto3"] = ours["mib_per_second"] / boto3["mib_per_second"]
            ours["of_bound"] = ours["mib_per_second"] / min(bounds)
            ours["cpu_of_boto3"] = ours["cpu_seconds"] / boto3["cpu_seconds"]
    return figures


def printed(figures: dict[str, Any], missing: dict[str, str]) -> None:
    """The table."""
    print(f"{'':22} {'MiB/s':>8} {'min':>8} {'max':>8} {'CPU s':>8} {'min':>8} {'max':>8}")
    for name, f in figures.items():
        row = (f["mib_per_second"], f["mib_per_second_min"], f["mib_per_second_max"])
        cpu = (f["cpu_seconds"], f["cpu_seconds_min"], f["cpu_seconds_max"])
        print(f"{name:22} " + " ".join(f"{value:8.0f}" for value in row) + "".join(f" {value:8.2f}" for value in cpu))
    for name, why in missing.items():
        print(f"{name:22} {why}")
    print(
        f"{os.cpu_count()} cores, shared with the store; files go to one filesystem, emptied after each run; fsync: "
        "fetch and region only; direct: O_DIRECT; cached: through the page cache; auto: what the disk's speed says"
    )
    for name in ENGINES:
        f = figures.get(name, {})
        if "of_boto3" in f:
            print(
                f"{name}: {f['of_boto3']:.2f} x boto3 (aim >= 3), {f['of_bound']:.2f} of the slower of curl and sha256 "
                f"(aim >= 0.8), {f['cpu_of_boto3']:.2f} of boto3's CPU (aim <= 0.33)"
            )


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, default=Path("download.json"))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--mib", type=int, default=1024)
    parser.add_argument("--only", nargs="+", choices=NAMES, default=[], help="these alone")
    parser.add_argument("--into", type=Path, help="a folder on the disk to measure; else that of temporary files")
    parser.add_argument("--transfer", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.transfer:
        transfer(options.transfer[0], json.loads(options.transfer[1]))
        return
    names, missing = peers(options.only)
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        child, server = start_versitygw(required_binary("versitygw", "MODELCAST_VERSITYGW"), folder / "server")
        try:
            job = prepared(server, folder, options.mib)
            for number in range(options.rounds + 1):
                for name in random.sample(names, len(names)):
                    run = measured(name, job, options.into or folder)
                    emptied(job["region_bucket"], job["endpoint_url"])
                    if number:  # the first warms up
                        runs[name].append(run)
        finally:
            child.stop()
    figures = figures_of(runs, options.mib)
    options.json.write_text(
        json.dumps({**figures, "missing": missing, "mib": options.mib, "runs": runs}, indent=2) + "\n"
    )
    printed(figures, missing)


if __name__ == "__main__":
    main()
