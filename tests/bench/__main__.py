"""``make bench``: every benchmark in turn, a short table each, and one JSON file.

python -m tests.bench [--json FILE] [--only road fold …] [--rounds 5]
"""

import argparse
import json
import platform
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

BENCHES = {
    "road": ("tests.bench.road", "publish() to staged and serving in three regions, as a ratio to a raw round trip"),
    "fold": ("tests.bench.fold", "pod states folded a second, as a ratio to a plain Faust agent"),
    "delta": ("tests.bench.delta", "deltas: size against the entropy bound, speed against memcpy"),
    "download": ("tests.bench.download", "1 GiB from a store to the disk, verified: beside boto3, obstore and curl"),
    "link": ("tests.bench.link", "publish to staged behind 100 Mbit/s and 80 ms, as a ratio to bytes / rate"),
    "pod": ("tests.bench.pod", "requests failed and p99 while versions swap, as a ratio to steady state"),
}


def main() -> None:
    """Run what was asked for; a benchmark that fails is named, and the exit code says so."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, default=Path("bench.json"), help="where to write the figures")
    parser.add_argument("--only", nargs="+", choices=sorted(BENCHES), help="these alone")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    found: dict[str, Any] = {"machine": {"cpu": platform.processor() or platform.machine(), "python": sys.version}}
    failed = []
    for name in options.only or BENCHES:
        module, what = BENCHES[name]
        print(f"\n== {name}: {what}", flush=True)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "figures.json"
            command = [sys.executable, "-m", module, "--json", str(path), "--rounds", str(options.rounds)]
            if subprocess.run(command, check=False).returncode == 0:
                found[name] = json.loads(path.read_text())
            else:
                failed.append(name)
    options.json.write_text(json.dumps(found, indent=2) + "\n")
    print(f"\nfigures in {options.json}")
    if failed:
        raise SystemExit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
