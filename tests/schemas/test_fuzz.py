"""Damaged records by the ten thousand, and schemas: no crash, no hang, nothing but a record or a ``DecodeError``."""

import json
import subprocess
import sys
from pathlib import Path

from tests.support.lanes import often

SEED = 20_260_101
PAYLOADS = often(100_000, 10_000)
SCHEMAS = often(4_000, 400)


def _tally(module: str, count: int, deadline_seconds: float) -> dict[str, int]:
    """Run a fuzzer in a process of its own: a segmentation fault is a failure, not the end of the test run."""
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-m", module, str(SEED), str(count)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=deadline_seconds,
    )
    assert done.returncode == 0, f"exit {done.returncode}: {done.stderr[-4000:]}"
    tally: dict[str, int] = json.loads(done.stdout)["tally"]
    return tally


def test_mutated_payloads_never_crash_hang_or_surprise() -> None:
    tally = _tally("tests.schemas.avro.mutate_and_decode", PAYLOADS, deadline_seconds=120)
    assert sum(tally.values()) == PAYLOADS
    # A fuzzer that only ever meets one kind of refusal tests nothing.
    assert set(tally) == {"decoded", "malformed", "bad-value", "unknown-schema", "framing", "oversize"}
    assert min(tally["decoded"], tally["malformed"], tally["bad-value"]) > PAYLOADS // 50


def test_mutated_schemas_never_crash_hang_or_surprise() -> None:
    tally = _tally("tests.schemas.avro.mutate_schemas", SCHEMAS, deadline_seconds=120)
    assert min(tally.values()) > SCHEMAS // 50
