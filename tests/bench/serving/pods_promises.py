"""What issue and README promise of pods and companions, beside what a run of ``pods`` has found."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tests.bench.serving.pods_peers import BY_HAND, COMPANIONED, COMPARED, RELOADED

Found = Mapping[str, Any]
SWAP_TIMES_MAX = 1.3
MEMORY_TIMES_MAX = 1.1
CPU_TIMES_MAX = 1.2
P99_TIMES_MAX = 1.2
P99_ADDED_MS_MAX = 10.0
ROLLOVER_TIMES_MAX = 1.05


@dataclass(frozen=True)
class Promise:
    """A figure, and the most that it may be."""

    found: float
    aim: float

    @property
    def held(self) -> bool:
        """Whether this run shows it."""
        return self.found <= self.aim


def promised(found: Found) -> dict[str, Promise]:
    """What is promised of the servers that were measured, by what is promised."""
    said: dict[str, Promise] = {}
    for name in ({"ours"} | COMPANIONED | COMPARED) & found.keys():
        parts = (found[name]["steady"], found[name]["in_swaps"])
        bad = sum(part["failed"] + part["wrong_version"] for part in parts)
        said[f"{name}: no request failed, none was answered by another version"] = Promise(bad, 0)
    said |= _swaps(found) | _memory(found) | _latency(found)
    if "paired" in found:
        ratio = found["paired"]["ratio"]["median"]
        what = f"ours: processor time at most {CPU_TIMES_MAX:g} times that of bare aiohttp, isolated"
        said[what] = Promise(ratio, CPU_TIMES_MAX)
    if rows := found.get("rollover"):
        herd = max(row["most_under_way"] / row["allowed"] for row in rows)
        said["1,000 simulated pods: at most as many at once as each policy allows, as a ratio"] = Promise(herd, 1)
        times = (row["seconds"] / row["predicted_seconds"] for row in rows)
        worst = max(max(each, 1 / each) for each in times)
        what = f"1,000 simulated pods: at most {ROLLOVER_TIMES_MAX:g} times off what each policy predicts"
        said[what] = Promise(round(worst, 3), ROLLOVER_TIMES_MAX)
    return dict(sorted(said.items()))


def _swaps(found: Found) -> dict[str, Promise]:
    said = {}
    for name in ({"ours"} | COMPANIONED) & found.keys():
        what = f"{name}: a swap at most {SWAP_TIMES_MAX:g} times reading and one run"
        said[what] = Promise(found[name]["swap_by_read_and_run"], SWAP_TIMES_MAX)
        if (times := load_by_hand(found, name)) is not None:
            what = f"{name}: told to serving at most {SWAP_TIMES_MAX:g} times the server's own load by hand"
            said[what] = Promise(round(times, 2), SWAP_TIMES_MAX)
    return said


def load_by_hand(found: Found, name: str) -> float | None:
    """What the server takes from being told until it serves, over the same by hand; None: one was not measured."""
    hand = found.get(BY_HAND.get(name, ""))
    if hand is None or "swap" not in found[name]["stages"]:
        return None
    return float(found[name]["stages"]["swap"] / hand["swap_seconds"]["mean"])


def _memory(found: Found) -> dict[str, Promise]:
    said = {}
    for name in RELOADED & found.keys():
        if (memory := found[name].get("memory_after_reloads")) is None:
            continue  # --reloads 0
        for what, ratio in (("", "ratio"), (", with its companion", "ratio_with_companion")):
            if name in COMPANIONED or not what:
                promise = f"{name}{what}: memory after reloads at most {MEMORY_TIMES_MAX:g} times"
                said[promise] = Promise(memory[ratio], MEMORY_TIMES_MAX)
    return said


def _latency(found: Found) -> dict[str, Promise]:
    said = {}
    if "ours" in found:
        added = found["ours"]["p99_in_swaps_less_steady_ms"]
        what = f"ours: p99 in swaps at most {P99_ADDED_MS_MAX:g} ms above steady"
        said[what] = Promise(added, P99_ADDED_MS_MAX)
    if {"ours", "triton"} <= found.keys():
        ours, triton = (found[name]["steady"]["p99_ms"] for name in ("ours", "triton"))
        said["ours: steady p99 in ms at most Triton's"] = Promise(ours, triton)
    asked = [name for name in ("triton", "triton-grpc") if {name, BY_HAND[name]} <= found.keys()]
    p99 = {each: found[each]["in_swaps"]["p99_ms"] for name in asked for each in (name, BY_HAND[name])}
    for name in asked:
        what = f"{name}: p99 in swaps at most {P99_TIMES_MAX:g} times that by hand, asked alike"
        said[what] = Promise(round(p99[name] / p99[BY_HAND[name]], 2), P99_TIMES_MAX)
    if len(asked) > 1:
        best, by_hand = min(p99[name] for name in asked), min(p99[BY_HAND[name]] for name in asked)
        what = f"triton: p99 in swaps at most {P99_TIMES_MAX:g} times Triton's own best (HTTP or gRPC, by hand)"
        said[what] = Promise(round(best / by_hand, 2), P99_TIMES_MAX)
    return said


def show(name: str, found: Found, took_seconds: float) -> None:
    """A few lines a server."""
    steady, swaps = found["steady"], found["in_swaps"]
    closed, memory = found.get("closed_16"), found.get("memory_after_reloads")
    stages = ", ".join(f"{stage} {seconds:.3f}" for stage, seconds in found["stages"].items())
    print(
        f"{name:>19}: failed {steady['failed']}+{swaps['failed']} of {steady['sent']}+{swaps['sent']},"
        f" wrong {steady['wrong_version']}+{swaps['wrong_version']};"
        f" p99 {steady['p99_ms']} steady, {swaps['p99_ms']} ms in swaps;"
        f" swap {found['swap_seconds']['median']:.3f} s = {found['swap_by_read_and_run']} x read and run;"
        + (f" of it {stages};" if stages else "")
        + (
            f" {closed['per_second']['median']:.0f}/s, {closed['cpu_us_a_request']['median']:.0f} us CPU,"
            f" {closed['cpu_us_a_request_with_companion']['median']:.0f} with its companion;"
            if closed
            else ""
        )
        + (
            f" memory x {memory['ratio']} ({memory['ratio_with_companion']}) after {memory['reloads']} reloads;"
            if memory
            else ""
        )
        + f" took {took_seconds:.0f} s",
        flush=True,
    )


def show_swaps(found: Found) -> None:
    """Where the time of a swap goes, beside what it takes at least."""
    print(
        f"\na swap in seconds; reading {found['plan']['megabytes']} MB and one run take"
        f" {found['read_and_run_seconds']:.3f}, a copy of the files on the disk {found['copy_seconds']:.3f}"
    )
    print(f"{'':19} {'median':>8} {'x read':>7}  {'server alone':>12} {'by hand':>8} {'rest':>8}")
    for name in sorted(({"ours"} | COMPANIONED | COMPARED) & found.keys()):
        row, stages = found[name], found[name]["stages"]
        hand = found.get(BY_HAND.get(name.removesuffix("-compared"), ""))
        alone = sum(seconds for stage, seconds in stages.items() if stage != "rest")
        by_hand = f"{hand['swap_seconds']['mean']:8.3f}" if hand else ""
        print(
            f"{name:>19} {row['swap_seconds']['median']:8.3f} {row['swap_by_read_and_run']:7}  {alone:12.3f}"
            f" {by_hand:>8} {stages.get('rest', 0.0):8.3f}"
        )
    print(
        "rest: a companion copies the files into the server's folder and removes older ones, and before MLServer it"
        " waits 0.1 s for balancers; of our own pod: the order, its record on the disk, the exchange of workers"
    )


def show_promises(promises: Mapping[str, Promise]) -> None:
    """Each promise with figure and aim; those that are not held come first."""
    print()
    for what, one in sorted(promises.items(), key=lambda item: (item[1].held, item[0])):
        print(f"{'held' if one.held else 'NOT held':>19}: {what}: {one.found:g} (aim {one.aim:g})", flush=True)
