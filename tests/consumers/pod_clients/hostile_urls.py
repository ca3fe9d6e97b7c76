"""A process of ``hostile_server.py``, as a context."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def hostile_urls() -> Iterator[dict[str, str]]:
    """Where each misbehaviour is to be had; one of them is asked by TLS."""
    program = Path(__file__).with_name("hostile_server.py")
    process = subprocess.Popen([sys.executable, str(program)], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        ports = json.loads(process.stdout.readline())
        urls = {name: f"http://127.0.0.1:{port}" for name, port in ports.items()}
        yield (
            urls
            | {name: urls[name].replace("http:", "https:") for name in ("TLS",)}
            | {"no TLS at all": urls["HTML"].replace("http:", "https:")}
        )
    finally:
        process.kill()
        process.wait()
