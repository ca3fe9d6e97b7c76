"""The ratios of the delta bench as an SVG, in plain text: how many times smaller, on a logarithmic scale.

python -m tests.bench.plot_delta delta.json docs/delta.svg
"""

import json
import math
import sys
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

WIDTH, LEFT, RIGHT, BAR, GAP, TOP = 940, 330, 70, 13, 14, 64
PEERS = (
    ("bsdiff", "#b9a3d6"),
    ("zstd -19 --patch-from", "#8fb8de"),
    ("xdelta3 -9", "#9fd3b6"),
    ("gzip -6", "#cccccc"),
)
OURS, BOUND, INK = "#d9534f", "#333333", "#222222"


def svg(found: dict[str, Any]) -> str:
    """The plot of one run's figures."""
    pairs = found["pairs"]
    bars = {name: _bars(figures) for name, figures in pairs.items()}
    most = max([10.0, *(v for rows in bars.values() for _, v, _ in rows), *(f["bound"] for f in pairs.values())])
    height = TOP + sum(BAR * len(rows) + GAP for rows in bars.values()) + 20

    def x(ratio: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * math.log(max(ratio, 1)) / math.log(most)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif">',
        f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>',
        _text(16, 22, "A delta of one version to the next: how many times smaller than the whole", size=15),
        _text(16, 40, "logarithmic; the black mark is the entropy bound of each pair", colour="#666"),
    ]
    for ratio in (1, 2, 5, 10, 20, 50, 100, 200, 500):
        if ratio <= most:
            parts.append(f'<path d="M{x(ratio):.1f} {TOP - 8}V{height - 16}" stroke="#e4e4e4"/>')
            parts.append(_text(x(ratio), TOP - 12, f"{ratio}×", anchor="middle", colour="#666"))
    y = TOP
    for name, rows in bars.items():
        middle = y + BAR * len(rows) / 2 + 4
        parts.append(_text(LEFT - 128, middle, name, anchor="end", size=12))
        for label, value, colour in rows:
            parts.append(_text(LEFT - 6, y + 10, label, anchor="end", colour="#666", size=9))
            width = max(x(value) - LEFT, 1)
            parts.append(f'<rect x="{LEFT}" y="{y}" width="{width:.1f}" height="{BAR - 2}" fill="{colour}"/>')
            parts.append(_text(x(value) + 4, y + 10, f"{value:.2f}×", size=9))
            y += BAR
        bound = x(pairs[name]["bound"])
        parts.append(f'<path d="M{bound:.1f} {y - BAR * len(rows) - 2}v{BAR + 2}" stroke="{BOUND}" stroke-width="2"/>')
        y += GAP
    return "\n".join([*parts, "</svg>", ""])


def _bars(figures: dict[str, Any]) -> list[tuple[str, float, str]]:
    peers = figures.get("peers", {})
    found = [("modelcast", float(figures["ratio"]), OURS)]
    return found + [(n, float(peers[n]["ratio"]), c) for n, c in PEERS if "ratio" in peers.get(n, {})]


def _text(x: float, y: float, text: str, *, anchor: str = "start", colour: str = INK, size: int = 11) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}" font-size="{size}">{escape(text)}</text>'
    )


if __name__ == "__main__":
    Path(sys.argv[2]).write_text(svg(json.loads(Path(sys.argv[1]).read_text())))
