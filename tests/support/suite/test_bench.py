"""What ``make bench`` runs and shows: the benchmarks that are named after it, and each promise that was not held."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.bench import afternoon, dashboard, start
from tests.bench.__main__ import not_held
from tests.bench.serving.pods import promised
from tests.bench.transfer import download

ROOT = Path(__file__).parents[3]
STEADY = {"failed": 0, "wrong_version": 0, "p99_ms": 5.0}
SERVER = {
    "steady": STEADY,
    "in_swaps": STEADY,
    "swap_by_read_and_run": 1.2,
    "stages": {},
    "memory_after_reloads": {"ratio": 1.05, "ratio_with_companion": 1.2},
}


@pytest.mark.parametrize(("names", "told"), [(["pods", "road"], "--only pods road"), ([], "")])
def test_what_is_named_after_bench_is_run_alone(names: list[str], told: str) -> None:
    command = ["make", "--no-print-directory", "--dry-run", "bench", *names]
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS", "ARGS"))}
    said = subprocess.run(command, cwd=ROOT, capture_output=True, check=True, text=True, env=clean).stdout
    (line,) = [line for line in said.splitlines() if "tests.bench" in line]
    assert line.split("tests.bench", 1)[1].split() == told.split()


def test_each_promise_that_was_not_held_is_named_with_its_benchmark() -> None:
    figures = {
        "conditions": {"cores": 2},
        "failed": [],
        "pods": {"promises": {"ours: fast": {"held": False}, "ours: whole": {"held": True}}},
    }
    assert not_held(figures) == ["pods: ours: fast"]


@pytest.mark.parametrize("name", ["ours", "triton", "triton-grpc", "mlserver0", "mlserver1", "kserve"])
def test_every_server_that_a_companion_swaps_is_held_to_the_same_promises(name: str) -> None:
    bad = {**SERVER, "in_swaps": {**STEADY, "failed": 1}, "swap_by_read_and_run": 1.4, "p99_in_swaps_less_steady_ms": 0}
    said = promised({name: bad})
    assert not said[f"{name}: no request failed, none was answered by another version"].held
    assert not said[f"{name}: a swap at most 1.3 times reading and one run"].held


def test_a_companions_memory_counts_in_a_promise_of_its_own() -> None:
    said = promised({"triton": SERVER})
    assert said["triton: memory after reloads at most 1.1 times"].held
    assert not said["triton, with its companion: memory after reloads at most 1.1 times"].held


def test_a_companions_loads_and_latency_stand_beside_those_by_hand_and_the_best_of_both_protocols() -> None:
    swapped = {**SERVER, "stages": {"swap": 0.15, "rest": 0.6}}
    hand = {**SERVER, "swap_seconds": {"mean": 0.1}}
    slow = {**hand, "in_swaps": {**STEADY, "p99_ms": 10.0}}
    said = promised({"triton": swapped, "triton-by-hand": slow, "triton-grpc": swapped, "triton-grpc-by-hand": hand})
    assert said["triton: told to serving at most 1.3 times the server's own load by hand"].found == 1.5
    assert said["triton: p99 in swaps at most 1.2 times that by hand, asked alike"].found == 0.5
    best = said["triton: p99 in swaps at most 1.2 times Triton's own best (HTTP or gRPC, by hand)"]
    assert (best.found, best.held) == (1.0, True)


def test_a_thousand_simulated_pods_are_held_to_herd_and_prediction() -> None:
    row = {"policy": "p", "gapless": True, "most_under_way": 11, "allowed": 10, "seconds": 80, "predicted_seconds": 100}
    said = promised({"rollover": [row]})
    assert [(one.found, one.held) for one in said.values()] == [(1.25, False), (1.1, False)]


@pytest.mark.soak
@pytest.mark.integration
def test_what_a_start_costs_stands_beside_an_empty_python_and_its_promise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(start, "STARTS", 1)
    figures = start.measure(2, tmp_path)
    rows = figures["commands"]
    assert rows[start.PYTHON]["cpu_by_python"]["median"] == rows[start.CLIENTS]["cpu_by_clients"]["median"] == 1
    assert all(rows[name]["cpu_by_python"]["median"] > 2 for name in start.CPU_SECONDS_MAX)
    assert figures["promises"].keys() == {
        f"{name}: at most {most:g} s of processor time" for name, most in start.CPU_SECONDS_MAX.items()
    }


def test_the_afternoons_ratio_is_a_promise() -> None:
    rounds = [{"1 KiB": {"ours": 0.3, "script": 0.2, "ratio": ratio}} for ratio in (1.4, 1.6, 1.7)]
    found = afternoon.summary(rounds)
    assert found["1 KiB"]["ratio"] == {"median": 1.6, "min": 1.4, "max": 1.7}
    promise = "1 KiB: publish() to serving at most 1.5 times what the script takes"
    assert not_held({"afternoon": found}) == [f"afternoon: {promise}"]
    assert not_held({"afternoon": afternoon.summary(rounds[:1])}) == []


def test_each_aim_of_the_dashboard_is_a_promise_as_far_as_it_was_measured() -> None:
    measured = {name: {"median": aim} for name, (_, _, aim) in dashboard.AIMS.items() if name != "scrape_ms"}
    promises = dashboard.promises(measured)
    assert len(promises) == len(dashboard.AIMS) - 2  # one has no aim, one was not measured
    assert not_held({"dashboard": {"promises": promises}}) == []
    worse = dashboard.promises({**measured, "nodes": {"median": 2001.0}})
    assert not_held({"dashboard": {"promises": worse}}) == ["dashboard: nodes of the document: at most 2000"]


def test_a_download_is_held_to_the_aims_of_the_row_that_counts() -> None:
    missed = {"value": 2.5, "aim": ">= 3", "met": False}
    figures = {name: {"aims": {"times_boto3": {**missed, "counts": name == "ours"}}} for name in ("ours", "other")}
    assert not_held({"download": {"promises": download.promises({**figures, "curl": {}})}}) == [
        "download: ours: times_boto3 >= 3"
    ]
