"""The ratios of the delta bench as an SVG, in plain text: how many times smaller, on a logarithmic scale.

Bars of full colour are one pair of the size that the other tools worked on, ours among them. The pale bar below is ours
on the larger pair, and it alone has the mark of the entropy bound, for the bound was computed there.

python -m tests.bench.deltas.plot delta.json docs/delta.svg
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
OURS, OURS_LARGER, BOUND, INK = "#d9534f", "#eeb6b4", "#333333", "#222222"
MIB = 1 << 20
Bar = tuple[str, float, str]


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
        _text(16, 40, f"logarithmic; {_sizes(pairs)}", colour="#666"),
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
        bound = x(pairs[name]["bound"])  # of the last bar, and of no other
        parts.append(f'<path d="M{bound:.1f} {y - BAR - 2}v{BAR + 2}" stroke="{BOUND}" stroke-width="2"/>')
        y += GAP
    return "\n".join([*parts, "</svg>", ""])


def _bars(figures: dict[str, Any]) -> list[Bar]:
    """Ours and the peers' of one size; last, ours of the size that has the bound."""
    peers = figures.get("peers", {})
    known = [("this", OURS), *PEERS]
    beside = [
        (n.replace("this", "modelcast"), float(peers[n]["ratio"]), c) for n, c in known if "ratio" in peers.get(n, {})
    ]
    return [*beside, (f"modelcast, {_mib(figures)}", float(figures["ratio"]), OURS_LARGER)]


def _sizes(pairs: dict[str, Any]) -> str:
    larger = _mib(max(pairs.values(), key=lambda f: f["size_bytes"]))
    beside = [f["peers"] for f in pairs.values() if "peers" in f]
    bound = f"pale: models of up to {larger}, the black mark their entropy bound"
    return (
        f"full colour: models of up to {_mib(max(beside, key=lambda f: f['size_bytes']))}; {bound}" if beside else bound
    )


def _mib(figures: dict[str, Any]) -> str:
    return f"{figures['size_bytes'] / MIB:.0f} MiB"


def _text(x: float, y: float, text: str, *, anchor: str = "start", colour: str = INK, size: int = 11) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}" font-size="{size}">{escape(text)}</text>'
    )


if __name__ == "__main__":
    Path(sys.argv[2]).write_text(svg(json.loads(Path(sys.argv[1]).read_text())))
