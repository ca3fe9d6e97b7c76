"""The dashboard: its page in Chromium, its watchers, its memory, how soon it shows what a region reports, and what the
tracker and the consumer groups cost. Each figure stands beside its aim.

    python -m tests.bench.dashboard --json dashboard.json [--rounds 3] [--share 0.1] [--parts page watchers]

``--share``: of 500 models, 200 regions, 2,000 watchers; for a look at whether it works. One round takes about a minute
and a half.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tests.bench.figures import conditions, promise, spread
from tests.bench.watching import page, roundtrip, trackers, watchers

AIMS: dict[str, tuple[str, str, float]] = {
    "start_ms": ("the page starts, 500 x 200: main thread", "ms", 150),
    "first_contentful_paint_ms": ("first contentful paint", "ms", 1000),
    "pairs_2000_ms": ("2,000 changed pairs are drawn", "ms", 16),
    "region_ms": ("a region's 500 pairs are drawn", "ms", 16),
    "news_of_2000_pairs_ms": ("2,000 changed pairs with all lists", "ms", 150),
    "nodes": ("nodes of the document", "", 2000),
    "delivery_us": ("a delivery to one of 2,000 watchers: processor", "us", 30),
    "kib_a_watcher": ("memory of a watcher", "KiB", 20),
    "resyncs": ("watchers that fell behind", "", 0),
    "dashboard_mib": ("memory at 500 x 200 x 500 pods", "MiB", 150),
    "changed_model_ms": ("a changed model: processor", "ms", 5),
    "ready_ratio_to_reading": ("ready, to reading alone", "x", 2),
    "pass_ratio_many_to_one": ("a pass with 2,000 watchers, to one with 1", "x", 1.1),
    "ack_to_page_p95_ms": ("acknowledgement to page, p95", "ms", 250),
    "ack_to_consumer_p95_ms": ("acknowledgement to a plain consumer, p95", "ms", float("inf")),
    "page_to_consumer_p95": ("page, to the plain consumer", "x", 5),
    "scrape_ms": ("a scrape of the tracker's metrics: processor", "ms", 100),
    "series": ("series of it", "", 10_000),
    "behind_cpu_percent": ("500 models behind: processor", "%", 1),
    "behind_states_per_second": ("500 models behind: states said again, a second", "", 0),
    "behind_bytes_per_second": ("500 models behind: what is told instead", "B/s", 5_000),
    "quiet_cpu_percent": ("all is well and regions repeat themselves: processor", "%", 5),
    "quiet_states_per_second": ("all is well: states said again, a second", "", 0),
    "quiet_view_writes_per_second": ("all is well: writes to the live view", "/s", 400),
    "groups_200_cpu_ms": ("a look at 200 consumer groups: processor", "ms", 100),
}


def parts(share: float) -> dict[str, Callable[[], dict[str, float]]]:
    """What is measured, by name."""
    models, regions = max(2, int(500 * share)), max(2, int(200 * share**0.5))
    return {
        "page": lambda: page.measure(models, regions),
        "watchers": lambda: watchers.measure(models, regions, 500, max(10, int(2000 * share))),
        "tracker": lambda: (
            trackers.scrape(models, regions) | trackers.hour_behind(models, regions) | trackers.quiet(models, regions)
        ),
        "roundtrip": lambda: _roundtrip(max(10, int(60 * share))),
    }


def _roundtrip(samples: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory(prefix="dashboard-bench-") as folder:
        return roundtrip.measure(Path(folder), samples)


def main() -> None:
    """Run the rounds, print a table, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="where to write the figures")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--share", type=float, default=1.0, help="of the fleet, for a quick look")
    parser.add_argument("--parts", nargs="+", choices=list(parts(1.0)), default=list(parts(1.0)))
    options = parser.parse_args()
    begun, rounds = conditions(), []
    for number in range(options.rounds):
        found: dict[str, float] = {}
        for name in options.parts:
            found |= parts(options.share)[name]()
            print(f"round {number + 1}: {name} is done", file=sys.stderr, flush=True)
        if "changed_model_ms" in found:
            found["pass_ratio_many_to_one"] = found["changed_model_ms_with_watchers"] / found["changed_model_ms"]
        rounds.append(found)
    figures = {name: spread([each[name] for each in rounds]) for name in rounds[0]}
    for name, (what, unit, aim) in AIMS.items():
        if name in figures:
            _print(what, unit, aim, figures[name])
    if options.json:
        data: dict[str, Any] = {"conditions": begun, "rounds": options.rounds, "share": options.share}
        options.json.write_text(
            json.dumps({**data, "figures": figures, "promises": promises(figures)}, indent=2) + "\n"
        )


def promises(figures: Mapping[str, Mapping[str, float]]) -> dict[str, Any]:
    """The aims of what was measured, each with what was found."""
    return {
        f"{what}: at most {aim:g} {unit}".rstrip(): promise(figures[name]["median"], aim)
        for name, (what, unit, aim) in AIMS.items()
        if name in figures and aim != float("inf")
    }


def _print(what: str, unit: str, aim: float, figure: dict[str, float]) -> None:
    beside = "" if aim == float("inf") else f"aim {aim:g} {unit}".rstrip()
    told = "" if figure["median"] <= aim else "  MISSED"
    between = f"{figure['min']:,.2f} to {figure['max']:,.2f}"
    print(f"{what:52} {figure['median']:>10,.2f} {unit:3} ({between})  {beside}{told}")


if __name__ == "__main__":
    main()
