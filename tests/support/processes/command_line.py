"""The command line as people use it: a process of its own, its output and its exit code."""

import json
import time
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelcast.infra.local.layout import inherited_env
from tests.consumers.pod.models import adder
from tests.support.any_format import ANY_FORMAT
from tests.support.processes.forked import run_command
from tests.support.servers.shared_servers import shared

INPUT = [1.25, -3.0]
SECONDS_MAX = 150.0


@dataclass(frozen=True)
class Result:
    """What a command came to."""

    code: int
    out: str
    err: str
    seconds: float

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@dataclass
class CommandLine:
    """``modelcast`` with the settings of a stack, in a folder of its own."""

    env: Mapping[str, str]
    folder: Path

    def __call__(self, *arguments: str | Path, code: int = 0, **env: str) -> Result:
        """Run it and insist on its exit code; ``env`` is put above the stack's settings."""
        began = time.monotonic()
        words = list(map(str, arguments))
        everything = {**inherited_env(), **ANY_FORMAT, **self.env, **env}
        done = run_command(shared("forks"), words, folder=self.folder, env=everything, seconds=SECONDS_MAX)
        assert done.code == code, f"modelcast {' '.join(words)} ended with {done.code}\n{done.out}\n{done.err}"
        return Result(*done, time.monotonic() - began)

    def model(self, number: float) -> Path:
        """A folder with a model that adds ``number``."""
        folder = self.folder / f"adds-{number}"
        folder.mkdir(exist_ok=True)
        for path, data in adder(number).files.items():
            (folder / path).write_bytes(data)
        return folder


def predicts(pod: str, model: str) -> tuple[int, float]:
    """The version that a pod names in an answer, and the number that its model added."""
    body = {"inputs": [{"name": "x", "shape": [1, 2], "datatype": "FP32", "data": INPUT}]}
    request = urllib.request.Request(
        f"{pod}/v2/models/{model}/infer", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=10) as response:
        answer = json.load(response)
        version = int(response.headers["modelcast-version"])
    first, second = (y - x for x, y in zip(INPUT, answer["outputs"][0]["data"], strict=True))
    assert first == second
    return version, first


def pods_of(env: Mapping[str, str]) -> list[str]:
    """The URLs of every pod that the settings name."""
    return [
        url
        for name, value in sorted(env.items())
        if name.startswith("MODELCAST_REGIONS__") and name.endswith("__PODS")
        for url in json.loads(value)
    ]


NOWHERE = "127.0.0.1:9"
"""Nobody listens there (the discard port)."""
