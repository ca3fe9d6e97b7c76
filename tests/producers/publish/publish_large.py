"""Publishes a folder and prints what it took: a process of its own, so that its memory can be told.

python publish_large.py FOLDER BASES STORE_URL ENDPOINT_URL
"""

import json
import sys
import threading
import time
from pathlib import Path

from modelcast.infra.settings import Settings, StoreSettings
from modelcast.infra.settings_publish import PublishSettings
from modelcast.producers import Publisher


class Nobody:
    """An announcer whom nobody hears."""

    def announce(self, topic: str, key: str, value: bytes, *, timeout_seconds: float) -> None: ...

    def close(self) -> None: ...


def anonymous_bytes(pid: int | str = "self") -> int:
    """Memory of a process, this one if no other is named, that is not a mapped file's; 0 once it has ended."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon:")), 0)


def main(folder: str, bases: str, url: str, endpoint_url: str) -> None:
    """Publish, and print JSON."""
    settings = Settings(
        stores={"origin": StoreSettings(url=url, endpoint_url=endpoint_url)},
        publish=PublishSettings(base_cache_dir=Path(bases), allow_unknown=("*",)),
    )
    start = peak = anonymous_bytes()
    ended = threading.Event()

    def watch() -> None:
        nonlocal peak
        while not ended.wait(0.01):
            peak = max(peak, anonymous_bytes())

    threading.Thread(target=watch, daemon=True).start()
    began = time.monotonic()
    with Publisher(settings, announcer=Nobody()) as publisher:
        done = publisher.publish("large", folder)
    ended.set()
    said = {
        "version": done.version,
        "manifest_digest": done.manifest_digest,
        "uploaded_bytes": done.uploaded_bytes,
        "deltas": [[d.base_version, d.files, d.size_bytes] for d in done.additions],
        "notes": done.notes,
        "memory_bytes": peak - start,
        "seconds": round(time.monotonic() - began, 1),
        "steps": {name: round(seconds, 1) for name, seconds in done.step_seconds.items()},
    }
    sys.stdout.write(json.dumps(said) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
