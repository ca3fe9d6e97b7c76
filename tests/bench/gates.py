"""False rollbacks against missed bad versions: our verdicts beside the rules of others, on the same simulated rollouts.

Healthy candidates and three bad ones (five and two times the errors, 1.5 times the p99) under three kinds of traffic
and four kinds of weather. *False*: a healthy one was stopped. *Missed*: a bad one was promoted. Ours may also end
undecided, which promotes nothing; that share is printed. Every share stands with its 95 % interval (Wilson).

    python -m tests.bench.gates --json gates.json --svg docs/gates.svg [--rollouts 1000]
"""

import argparse
import json
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np

from modelcast.schemas.evidence.forecast import forecast
from modelcast.schemas.evidence.gates import ERRORS, LATENCY, AnalysisPlan, Gate, Measure
from tests.bench.figures import conditions
from tests.bench.gating.plot import svg
from tests.bench.gating.rules import Ends, agrees, ours, rules, windows
from tests.bench.gating.traffic import BAD, HEALTHY, PROFILES, TRAFFIC, Candidate, Runs, Traffic, simulate

CHUNK = 500
PLAN = AnalysisPlan()
TIGHT = "modelcast, null 1.2"
TIGHTER = AnalysisPlan(gates=(Gate(Measure.ERRORS, 1.2, 2.0, ERRORS.acceptable_rate), LATENCY))


def wilson(hits: int, of: int) -> dict[str, float]:
    """A share in percent with its 95 % interval."""
    z, p = 1.96, hits / of
    middle, reach = p + z * z / (2 * of), z * math.sqrt(p * (1 - p) / of + z * z / (4 * of * of))
    scale = 100 / (1 + z * z / of)
    return {"percent": 100 * p, "low": max(0.0, scale * (middle - reach)), "high": min(100.0, scale * (middle + reach))}


def row(traffic: Traffic, profile: str, candidate: Candidate, rollouts: int, seed: int) -> dict[str, Any]:
    """What became of so many rollouts, by rule."""
    rng = np.random.default_rng(seed)
    ends: dict[str, list[Ends]] = {}
    spent: list[float] = []
    for start in range(0, rollouts, CHUNK):
        runs = simulate(rng, traffic, profile, candidate, min(CHUNK, rollouts - start))
        seen = windows(rng, runs)
        for name, rule in rules(PLAN).items():
            ends.setdefault(name, []).append(rule(runs, seen))
        if candidate.errors > 1:
            ends.setdefault(TIGHT, []).append(ours(TIGHTER)(runs, seen))
        latest = ends["modelcast"][-1]
        if not start and not agrees(runs, latest, PLAN, rollout=0):
            raise SystemExit(f"the arrays and modelcast.schemas.evidence differ: {traffic.name}, {profile}, {seed}")
        last = np.minimum(latest.stopped, runs.candidate.shape[1]).astype(int) - 1
        spent.extend(runs.candidate.cumsum(axis=1)[np.arange(len(last)), last][np.isfinite(latest.stopped)])
    found: dict[str, Any] = {}
    for name, chunks in ends.items():
        stopped, promoted = (np.concatenate([getattr(c, which) for c in chunks]) for which in ("stopped", "promoted"))
        finite = stopped[np.isfinite(stopped)]
        found[name] = {
            "stopped": wilson(len(finite), rollouts),
            "promoted": wilson(int(np.isfinite(promoted).sum()), rollouts),
            "median_seconds_to_stop": float(np.median(stopped)) if len(finite) > rollouts / 2 else None,
            "median_seconds_to_promote": _median(promoted),
        }
    found["modelcast"]["median_candidate_requests_to_stop"] = float(np.median(spent)) if spent else None
    return found


def _median(values: Any) -> float | None:
    middle = float(np.median(values))
    return middle if math.isfinite(middle) else None


def foretold(traffic: Traffic, share: float, rng: np.random.Generator, rollouts: int) -> dict[str, float]:
    """The promised median seconds over the real ones, at one share of steady traffic, errors gate alone."""
    plan = AnalysisPlan(gates=(ERRORS,))
    found = forecast(traffic.requests_per_second, traffic.error_rate, share, plan=plan)
    ratios: dict[str, float] = {}
    for name, ratio, wait in (
        *((f"x{w.ratio:g}", w.ratio, w) for w in found.harmful),
        ("harmless", 1.0, found.harmless),
    ):
        if wait.median_seconds is None or wait.nine_of_ten_seconds is None:
            continue
        piece = wait.median_seconds / 60
        shape = (rollouts, 60 * 6)
        total = rng.poisson(traffic.requests_per_second * piece, shape)
        candidate = rng.binomial(total, share)
        errors = (
            rng.binomial(total - candidate, traffic.error_rate),
            rng.binomial(candidate, traffic.error_rate * ratio),
        )
        nothing = np.zeros(shape, dtype=np.int64)
        scale = np.ones(shape)
        runs = Runs(
            np.full(shape[1], share), total - candidate, candidate, *errors, nothing, nothing, nothing, scale, scale
        )
        ends = ours(plan)(runs)
        real = float(np.median(ends.promoted if name == "harmless" else ends.stopped)) * piece
        ratios[name] = wait.median_seconds / real
    return ratios


def table(found: dict[str, Any]) -> None:
    """Every row, for people."""
    print(f"{'':42}" + "".join(f"{name:>26}" for name in rules(PLAN)))
    for name, by_rule in found.items():
        which = "stopped" if name.endswith(HEALTHY.name) else "promoted"
        cells = [by_rule[rule][which] for rule in by_rule if rule != TIGHT]
        text = "".join(f"{c['percent']:9.1f} % ({c['low']:5.1f} to {c['high']:5.1f})" for c in cells)
        print(f"{name:42}{text}")


def main() -> None:
    """Simulate, print, write, draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="where to write the figures")
    parser.add_argument("--svg", type=Path, help="where to draw them")
    parser.add_argument("--rollouts", type=int, default=1000, help="of a healthy version; half of it of a bad one")
    parser.add_argument("--rounds", type=int, default=1, help="taken for the other benchmarks' sake")
    options = parser.parse_args()
    begun = conditions()
    rows: dict[str, Any] = {}
    seed = 0
    for traffic in TRAFFIC:
        for profile in PROFILES:
            for candidate in (HEALTHY, *BAD):
                seed += 1
                name = f"{traffic.name}, {profile}, {candidate.name}"
                rollouts = options.rollouts if candidate is HEALTHY else options.rollouts // 2
                rows[name] = row(traffic, profile, candidate, rollouts, seed)
                print(name, file=sys.stderr, flush=True)
    rng = np.random.default_rng(1)
    promised = {
        f"{traffic.name}, {share:.0%}": foretold(traffic, share, rng, 400)
        for traffic in TRAFFIC
        for share in (0.01, 0.1, 0.5)
    }
    found = {"conditions": begun, "rollouts_of_healthy": options.rollouts, "rows": rows, "forecast_to_real": promised}
    print("\nfalse rollbacks of healthy versions, promotions of bad ones; 95 % intervals")
    table(rows)
    print("\nmodelcast: harmful / harmless / undecided; median seconds and candidate requests until harm is shown")
    for name, by_rule in rows.items():
        mine = by_rule["modelcast"]
        stopped, promoted = mine["stopped"]["percent"], mine["promoted"]["percent"]
        tight = by_rule.get(TIGHT, {}).get("median_seconds_to_stop")
        print(
            f"{name:42}{stopped:7.1f} {promoted:7.1f} {100 - stopped - promoted:7.1f} %"
            f"   {mine['median_seconds_to_stop']} s, {mine['median_candidate_requests_to_stop']} requests;"
            f" harmless {mine['median_seconds_to_promote']} s"
            f"; harm with null 1.2: {tight} s"
        )
    print("\nforecast over real, medians:")
    for name, ratios in promised.items():
        print(f"{name:30}" + "  ".join(f"{k} {v:.2f}" for k, v in ratios.items()))
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n")
    if options.svg:
        options.svg.write_text(svg(found))


if __name__ == "__main__":
    main()
