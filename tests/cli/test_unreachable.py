"""Each command where nothing answers that it needs: exit code 6, what does not answer, what to look at."""

import shlex
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from modelcast.cli.delta_extra import deltas_installed
from modelcast.cli.examples import examples
from tests.cli.conftest import Cli

KAFKA = (
    *("get", "wait", "topics", "regions forget", "rollout start", "rollout switch", "outcome"),
    *("dead-letters list", "dead-letters show", "dead-letters replay"),
)
ALONE = (
    *("demo", "up", "down", "top", "load", "config show", "rollout forecast", "doctor"),
    *("delta make", "delta apply", "delta info"),
    *(name for name in examples() if name.startswith("keys ")),
)
"""They need nothing, or bring it, or a terminal, or report themselves what does not answer."""
STORE = [name for name in examples() if name not in {*KAFKA, *ALONE} and not name.startswith("run ")]


@pytest.fixture(scope="module")
def nothing() -> Iterator[Mapping[str, str]]:
    """Settings in which nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        nowhere = f"127.0.0.1:{taken.getsockname()[1]}"
        found = {
            "MODELCAST_KAFKA__BOOTSTRAP_SERVERS": nowhere,
            "MODELCAST_KAFKA__TIMEOUT_SECONDS": "0.3",
            "MODELCAST_REDIS__URL": f"redis://{nowhere}/0",
            "MODELCAST_REGIONS__EU__TOKEN": "t",
            "AWS_ACCESS_KEY_ID": "a",
            "AWS_SECRET_ACCESS_KEY": "b",
            "AWS_MAX_ATTEMPTS": "1",
        }
        for place in ("STORES__ORIGIN", "REGIONS__EU__STORE"):
            found[f"MODELCAST_{place}__URL"] = "s3://bucket"
            found[f"MODELCAST_{place}__ENDPOINT_URL"] = f"http://{nowhere}"
        yield found


def _case(name: str) -> object:
    unable = name.startswith("delta ") and not deltas_installed()
    return pytest.param(name, marks=pytest.mark.skipif(unable, reason="needs deltas, which look for the store"))


@pytest.mark.parametrize("name", map(_case, [*STORE, *KAFKA]))
def test_what_does_not_answer_is_named(cli: Cli, tmp_path: Path, nothing: Mapping[str, str], name: str) -> None:
    (tmp_path / "model").write_bytes(b"weights")
    words = ["get", "fraud"] if name == "get" else shlex.split(examples()[name])[1:]
    ended = cli(*words, **nothing)
    assert (ended.code, ended.out) == (6, "")
    assert "Traceback" not in ended.err
    *_, error, hint = ended.err.splitlines()
    assert error.startswith("error ")
    assert hint.startswith("  → is the endpoint right and up?" if name in STORE else "  → is Kafka up at ")
