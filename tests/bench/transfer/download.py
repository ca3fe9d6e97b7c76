"""How fast a large object gets from a store to the disk, verified: Modelcast beside boto3, obstore and curl.

One object in versitygw over loopback. Every round has an order of its own (who writes after whom changes what a page of
the cache costs), and each runs in a process of its own (its CPU seconds are that process' own, without imports and the
first signature; the server's are beside the point). ``curl`` goes to /dev/null and ``sha256`` reads the warm file: what
is slower of the two is the bound. ``engine`` is the download alone, ``fetch`` the whole call with fsync, a second look
at the whole file and rename; nobody else waits for the disk. ``region`` is a whole fetch that also fills a regional
bucket (in the same server). ``+ read`` adds what it takes to read the file to its end afterwards, as a pod
does first. A peer that is not here is named.
MiB/s: medians with minimum and maximum. The aims count for ``engine``; for ``fetch``, which also syncs and looks again,
their values are told besides.

    python -m tests.bench.transfer.download --json download.json [--rounds 5] [--mib 1024] [--only NAME …]
"""

import argparse
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
from pathlib import Path
from typing import Any

from tests.bench.figures import conditions
from tests.bench.transfer.transfers import HERE, KEY_FOLDER, MIB, OBSTORE_PROGRAM
from tests.support.servers.stores import S3ForTests, required_binary, start_versitygw

NAMES = ("curl", "sha256", *(name for name in HERE if name not in ("boto3", "sha256")), "obstore", "boto3")
COUNTS, INFORMS = "engine", "fetch"
AIMS = {"times_boto3": (">=", 3.0), "of_bound": (">=", 0.8), "cpu_of_boto3": ("<=", 1 / 3)}


def measured(name: str, job: dict[str, Any], folder: Path) -> dict[str, float]:
    """Seconds and CPU seconds of one transfer into ``folder``, and of reading the file afterwards."""
    target = Path(tempfile.mkdtemp(dir=folder))
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.perf_counter()
    text = json.dumps({**job, "folder": str(target)})
    if name == "curl":
        command = ["curl", "--silent", "--fail", "--output", os.devnull, job["url"]]
    elif name == "obstore":
        command = [job["obstore_python"], "-c", OBSTORE_PROGRAM, text]
    else:
        command = [sys.executable, "-m", "tests.bench.transfer.transfers", name, text]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    seconds = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    shutil.rmtree(target)
    run: dict[str, float] = {"seconds": seconds, "cpu_seconds": cpu}
    if name != "curl":  # programs of ours say how long the work took, without their start
        run = json.loads(done.stdout.splitlines()[-1])
    return run


def python_with_obstore() -> str | None:
    """The Python named in ``MODELCAST_BENCH_OBSTORE``, or else the running one: whichever has obstore."""
    for python in (os.environ.get("MODELCAST_BENCH_OBSTORE"), sys.executable):
        if python and shutil.which(python):
            found = subprocess.run([python, "-c", "import obstore"], capture_output=True, check=False)
            if found.returncode == 0:
                return python
    return None


def peers(only: list[str], obstore: str | None) -> tuple[list[str], dict[str, str]]:
    """Who takes part, and who is missing."""
    missing = {}
    if shutil.which("curl") is None:
        missing["curl"] = "not on the PATH: the bound is SHA-256 alone"
    if obstore is None:
        how = "python -m venv DIR; DIR/bin/pip install obstore; export MODELCAST_BENCH_OBSTORE=DIR/bin/python"
        missing["obstore"] = f"not installed here; to have it: {how}"
    return [name for name in NAMES if name not in missing and (not only or name in only)], missing


def emptied(bucket: str, endpoint_url: str) -> None:
    """Remove what a transfer left in a bucket."""
    from tests.support.servers.stores import client_for

    client = client_for(endpoint_url)
    for found in client.list_objects_v2(Bucket=bucket).get("Contents", []):
        client.delete_object(Bucket=bucket, Key=found["Key"])


def prepared(server: S3ForTests, folder: Path, mib: int) -> dict[str, Any]:
    """The object and what every transfer needs to know of it."""
    from modelcast.infra.stores import open_store
    from modelcast.producers.artifact import scan
    from modelcast.schemas import keys
    from tests.support.servers.stores import client_for

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
    """All rows; those of the engine and of whole fetches also beside the aims."""
    figures: dict[str, Any] = {}
    for name, each in runs.items():
        figures[name] = summary(each, mib)
        if "loaded_seconds" in each[0]:
            figures[f"{name} + read"] = summary(each, mib, "loaded_")
    aims = {name: aims_of(figures, name) for name in runs if name.startswith((COUNTS, INFORMS))}
    for name, found in aims.items():
        figures[name]["aims"] = found
    return figures


def aims_of(figures: dict[str, Any], name: str) -> dict[str, Any]:
    """By aim: what one row reaches, what was aimed at, and whether the row counts; as far as the peers took part."""
    ours, boto3, values = figures[name], figures.get("boto3"), {}
    bounds = {n: figures[n]["mib_per_second"] for n in ("curl", "sha256") if n in figures}
    if boto3:
        values["times_boto3"] = ours["mib_per_second"] / boto3["mib_per_second"]
        values["cpu_of_boto3"] = ours["cpu_seconds"] / boto3["cpu_seconds"]
    if bounds:
        values["of_bound"] = ours["mib_per_second"] / min(bounds.values())
    found = {}
    for aim, value in values.items():
        sign, wanted = AIMS[aim]
        met = value >= wanted if sign == ">=" else value <= wanted
        found[aim] = {"value": value, "aim": f"{sign} {wanted:.3g}", "met": met, "counts": name.startswith(COUNTS)}
    if bounds:
        found["of_bound"]["bound"] = min(bounds, key=bounds.__getitem__)
    return found


def promises(figures: dict[str, Any]) -> dict[str, Any]:
    """The aims of the rows that count, each with what was found."""
    return {
        f"{name}: {aim} {found['aim']}": {"found": found["value"], "held": found["met"]}
        for name, row in figures.items()
        for aim, found in row.get("aims", {}).items()
        if found["counts"]
    }


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
        "fetch and region only"
    )
    for name, f in figures.items():
        told = [
            f"{aim} {a['value']:.2f} (aim {a['aim']}: {'met' if a['met'] else 'missed'})"
            for aim, a in f.get("aims", {}).items()
        ]
        if told:
            print(f"{name}: {', '.join(told)}{'' if name.startswith(COUNTS) else '; for information'}")


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, default=Path("download.json"))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--mib", type=int, default=1024)
    parser.add_argument("--only", nargs="+", choices=NAMES, default=[], help="these alone")
    parser.add_argument("--into", type=Path, help="a folder on the disk to measure; else that of temporary files")
    options = parser.parse_args()
    begun, obstore = conditions(), python_with_obstore()
    names, missing = peers(options.only, obstore)
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        child, server = start_versitygw(required_binary("versitygw", "MODELCAST_VERSITYGW"), folder / "server")
        try:
            job = prepared(server, folder, options.mib) | {"obstore_python": obstore}
            for number in range(options.rounds + 1):
                for name in random.sample(names, len(names)):
                    run = measured(name, job, options.into or folder)
                    emptied(job["region_bucket"], job["endpoint_url"])
                    if number:  # the first warms up
                        runs[name].append(run)
        finally:
            child.stop()
    figures = figures_of(runs, options.mib)
    data = {"conditions": begun, **figures, "missing": missing, "mib": options.mib, "runs": runs}
    options.json.write_text(json.dumps({**data, "promises": promises(figures)}, indent=2) + "\n")
    printed(figures, missing)


if __name__ == "__main__":
    main()
