"""What other people's tools make of the same pair, with the tools themselves; one that is not there says so."""

import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

from tests.bench.figures import spread

# What is published for ZipNN on models without a base. It pulls in torch, and is not run here.
ZIPNN_PUBLISHED = {"bf16": 1.50, "fp32": 1.20}
ROUNDS = 3
ONCE_ABOVE_SECONDS = 20.0
"""A tool whose first round takes longer has no other."""
SLOW = ("zstd -19", "zstd -19 --patch-from", "bsdiff")


def commands(old: Path, new: Path, out: Path) -> dict[str, tuple[list[str], bool]]:
    """Each peer's command, and whether its output is what it prints."""
    patch = f"--patch-from={old}"
    return {
        "gzip -6": (["gzip", "-6", "-c", str(new)], True),
        "zstd -3": (["zstd", "-3", "-c", "-q", str(new)], True),
        "zstd -3 --patch-from": (["zstd", "-3", "--long=31", "-c", "-q", patch, str(new)], True),
        "xdelta3 -9": (["xdelta3", "-e", "-9", "-f", "-B", "536870912", "-s", str(old), str(new), str(out)], False),
        "zstd -19": (["zstd", "-19", "-T0", "-c", "-q", str(new)], True),
        "zstd -19 --patch-from": (["zstd", "-19", "--long=31", "-T0", "-c", "-q", patch, str(new)], True),
        "bsdiff": (["bsdiff", str(old), str(new), str(out)], False),
    }


def measured(old: Path, new: Path, folder: Path, *, slow: bool) -> dict[str, Any]:
    """Of each peer, how many times smaller, and seconds with the process' start; or why not.

    Args:
        slow: those of ``SLOW``, too.
    """
    found: dict[str, Any] = {}
    for name, (command, prints) in commands(old, new, folder / "peer").items():
        if name in SLOW and not slow:
            found[name] = {"skipped": "slow, and left out"}
        elif not shutil.which(command[0]):
            found[name] = {"skipped": f"{command[0]} is not installed"}
        else:
            found[name] = one_peer(command, prints, new, folder)
    return found


def one_peer(command: list[str], prints: bool, new: Path, folder: Path) -> dict[str, Any]:
    """``ROUNDS`` rounds of one, or a single one that takes long."""
    made, seconds = folder / "peer", list[float]()
    while len(seconds) < ROUNDS and not (seconds and seconds[0] > ONCE_ABOVE_SECONDS):
        made.unlink(missing_ok=True)
        began = time.perf_counter()
        with (made if prints else folder / "printed").open("wb") as file:
            done = subprocess.run(command, stdout=file, stderr=subprocess.DEVNULL, check=False)
        seconds.append(time.perf_counter() - began)
        if done.returncode:
            return {"skipped": f"ended with {done.returncode}"}
    ratio = new.stat().st_size / made.stat().st_size
    return {"ratio": ratio, "seconds": spread(seconds), "rounds": len(seconds)}


def shown(name: str, peer: dict[str, Any]) -> str:
    """One, in a few words."""
    if "ratio" not in peer:
        return f"{name} – ({peer['skipped']})"
    once = ", once" if peer["rounds"] == 1 else ""
    return f"{name} {peer['ratio']:.2f}× ({peer['seconds']['median']:.2f} s{once})"
