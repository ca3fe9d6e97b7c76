"""What other people's tools make of the same pair, with the tools themselves; one that is not there says so."""

import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

# What is published for ZipNN on models without a base. It pulls in torch, and is not run here.
ZIPNN_PUBLISHED = {"bf16": 1.50, "fp32": 1.20}


def commands(old: Path, new: Path, out: Path, *, slow: bool) -> dict[str, tuple[list[str], bool]]:
    """Each peer's command, and whether its output is what it prints."""
    found = {
        "gzip -6": (["gzip", "-6", "-c", str(new)], True),
        "zstd -3": (["zstd", "-3", "-c", "-q", str(new)], True),
        "zstd -3 --patch-from": (["zstd", "-3", "--long=31", "-c", "-q", f"--patch-from={old}", str(new)], True),
        "xdelta3 -9": (["xdelta3", "-e", "-9", "-f", "-B", "536870912", "-s", str(old), str(new), str(out)], False),
    }
    if slow:
        patch = ["zstd", "-19", "--long=31", "-T0", "-c", "-q", f"--patch-from={old}", str(new)]
        found["zstd -19"] = (["zstd", "-19", "-T0", "-c", "-q", str(new)], True)
        found["zstd -19 --patch-from"] = (patch, True)
        found["bsdiff"] = (["bsdiff", str(old), str(new), str(out)], False)
    return found


def measured(old: Path, new: Path, folder: Path, *, slow: bool) -> dict[str, Any]:
    """Of each peer, how many times smaller and how many seconds; or why not."""
    found: dict[str, Any] = {}
    for name, (command, prints) in commands(old, new, folder / "peer", slow=slow).items():
        if not shutil.which(command[0]):
            found[name] = {"skipped": f"{command[0]} is not installed"}
            continue
        began = time.monotonic()
        with (folder / ("peer" if prints else "printed")).open("wb") as file:
            done = subprocess.run(command, stdout=file, stderr=subprocess.DEVNULL, check=False)
        if done.returncode:
            found[name] = {"skipped": f"ended with {done.returncode}"}
            continue
        ratio = new.stat().st_size / (folder / "peer").stat().st_size
        found[name] = {"ratio": ratio, "seconds": time.monotonic() - began}
    if not slow:
        found |= {n: {"skipped": "takes minutes: --slow"} for n in ("zstd -19", "zstd -19 --patch-from", "bsdiff")}
    return found
