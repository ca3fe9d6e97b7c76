"""False rollbacks against missed bad versions as an SVG: one point a rule, traffic and weather. Square-root scales.

python -m tests.bench.gating.plot gates.json docs/gates.svg
"""

import json
import math
import statistics
import sys
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from tests.bench.gating.traffic import BAD, HEALTHY, PROFILES, TRAFFIC

SIZE, LEFT, TOP, SIDE = 460, 70, 78, 280
COLOURS = {
    "naive": "#8a8a8a",
    "argo style": "#e0912f",
    "flagger": "#3f7fbf",
    "kayenta": "#8b62b5",
    "modelcast": "#d9534f",
}
LABELS = {
    "naive": "1.5x errors, 1.2x p99, one minute",
    "argo style": "the same, 4 failed minutes (Argo)",
    "flagger": "99 % and p99 limit, 5 failed (Flagger)",
    "kayenta": "Mann-Whitney (Kayenta)",
    "modelcast": "modelcast",
}
TICKS = (0, 1, 5, 10, 25, 50, 75, 100)


def svg(found: dict[str, Any]) -> str:
    """The plot of one run's figures."""
    width, height = LEFT + SIZE + SIDE, TOP + SIZE + 64
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif">',
        f'<rect width="{width}" height="{height}" fill="#fff"/>',
        _text(16, 24, "Healthy versions rolled back, bad versions promoted", size=16),
        _text(
            16,
            43,
            f"each point: {found['rollouts_of_healthy']:,} simulated rollouts of a healthy version, half as many of"
            " each bad one (errors x5, errors x2, p99 x1.5);",
            colour="#666",
        ),
        _text(16, 58, "1, 10 and 50 % for ten minutes each. Better is lower and further left.", colour="#666"),
    ]
    for tick in TICKS:
        parts.append(
            f'<path d="M{_x(tick):.1f} {TOP}V{TOP + SIZE}M{LEFT} {_y(tick):.1f}H{LEFT + SIZE}" stroke="#e6e6e6"/>'
        )
        parts.append(_text(_x(tick), TOP + SIZE + 18, f"{tick}", anchor="middle", colour="#666"))
        parts.append(_text(LEFT - 8, _y(tick) + 4, f"{tick}", anchor="end", colour="#666"))
    parts.append(_text(LEFT + SIZE / 2, TOP + SIZE + 40, "healthy versions rolled back, %", anchor="middle", size=12))
    middle = TOP + SIZE / 2
    parts.append(
        f'<text transform="rotate(-90 20 {middle})" x="20" y="{middle}" text-anchor="middle" font-size="12"'
        ' fill="#222">bad versions promoted, %</text>'
    )
    for rule, colour in COLOURS.items():
        for number, traffic in enumerate(TRAFFIC):
            for profile in PROFILES:
                false, missed = point(found["rows"], rule, traffic.name, profile)
                what = f"{LABELS[rule]}; {traffic.name}, {profile}: {false:.1f} % false, {missed:.1f} % missed"
                parts.append(_mark(number, _x(false), _y(missed), colour, what))
    x, y = LEFT + SIZE + 16, TOP + 10
    for rule, colour in COLOURS.items():
        parts += [_mark(0, x, y - 4, colour, rule), _text(x + 10, y, LABELS[rule])]
        y += 20
    y += 12
    for number, traffic in enumerate(TRAFFIC):
        parts += [_mark(number, x, y - 4, "#555", traffic.name), _text(x + 10, y, traffic.name)]
        y += 20
    y += 12
    for line in ("four points of a kind:", ", ".join(PROFILES), "", *undecided(found["rows"])):
        parts.append(_text(x - 6, y, line, colour="#666"))
        y += 16
    return "\n".join([*parts, "</svg>", ""])


def point(rows: dict[str, Any], rule: str, traffic: str, profile: str) -> tuple[float, float]:
    """(healthy versions stopped, bad ones promoted) in percent."""
    false = rows[f"{traffic}, {profile}, {HEALTHY.name}"][rule]["stopped"]["percent"]
    missed = [rows[f"{traffic}, {profile}, {bad.name}"][rule]["promoted"]["percent"] for bad in BAD]
    return float(false), statistics.fmean(missed)


def undecided(rows: dict[str, Any]) -> list[str]:
    """How many rollouts our verdict leaves undecided, by traffic: healthy and bad ones."""
    lines = ["modelcast promotes nothing that", "is undecided; so ended:"]
    for traffic in TRAFFIC:
        shares = []
        for names in ([HEALTHY.name], [bad.name for bad in BAD]):
            ends = [rows[f"{traffic.name}, {p}, {n}"]["modelcast"] for p in PROFILES for n in names]
            shares.append(statistics.fmean(100 - e["stopped"]["percent"] - e["promoted"]["percent"] for e in ends))
        lines.append(f"{traffic.name}: {shares[0]:.0f} % healthy, {shares[1]:.0f} % bad")
    return lines


def _x(percent: float) -> float:
    return LEFT + SIZE * math.sqrt(percent / 100)


def _y(percent: float) -> float:
    return TOP + SIZE - SIZE * math.sqrt(percent / 100)


def _mark(kind: int, x: float, y: float, colour: str, what: str) -> str:
    title = f"<title>{escape(what)}</title>"
    style = f'fill="{colour}" fill-opacity="0.75" stroke="#fff" stroke-width="0.7"'
    if kind == 0:
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5" {style}>{title}</circle>'
    if kind == 1:
        return f'<rect x="{x - 4.5:.1f}" y="{y - 4.5:.1f}" width="9" height="9" {style}>{title}</rect>'
    return f'<path d="M{x:.1f} {y - 6:.1f}l5.5 10h-11z" {style}>{title}</path>'


def _text(x: float, y: float, text: str, *, anchor: str = "start", colour: str = "#222222", size: int = 11) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}" font-size="{size}">{escape(text)}</text>'
    )


if __name__ == "__main__":
    Path(sys.argv[2]).write_text(svg(json.loads(Path(sys.argv[1]).read_text())))
