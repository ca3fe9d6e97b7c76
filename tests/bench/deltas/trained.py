"""A transformer that is really trained, so that deltas are measured on weights as training leaves them.

A byte-level language model of 6.4 million parameters (eight layers, width 256) learns Python's own library with Adam,
by backpropagation written out in numpy. Its checkpoints go to the user's cache: training takes minutes, once.

    python -m tests.bench.deltas.trained        trains if it must, and prints the losses
"""

import os
import sysconfig
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Weights = dict[str, Array]
STEPS = 240
KEPT = (STEPS - 20, STEPS - 1, STEPS)  # checkpoints: the last is one step from its neighbour, and twenty from the first
RECIPE = "1"  # other losses, other weights: count up


@dataclass(frozen=True, slots=True)
class Shape:
    """How large a model is. Its feed-forward layers are four times as wide."""

    vocabulary: int = 256
    width: int = 256
    layers: int = 8
    heads: int = 4
    context: int = 64


def fresh(shape: Shape, rng: np.random.Generator, dtype: str = "f4") -> Weights:
    """Weights before any training."""
    d = shape.width

    def normal(*size: int, scale: float = 0.02) -> Array:
        return (rng.standard_normal(size) * scale).astype(dtype)

    found = {"tokens": normal(shape.vocabulary, d), "positions": normal(shape.context, d)}
    for i in range(shape.layers):
        found |= {
            f"layers.{i}.norm1": np.ones(d, dtype),
            f"layers.{i}.qkv": normal(d, 3 * d),
            f"layers.{i}.out": normal(d, d, scale=0.02 / np.sqrt(2 * shape.layers)),
            f"layers.{i}.norm2": np.ones(d, dtype),
            f"layers.{i}.up": normal(d, 4 * d),
            f"layers.{i}.down": normal(4 * d, d, scale=0.02 / np.sqrt(2 * shape.layers)),
        }
    return found | {"norm": np.ones(d, dtype)}


def loss_and_gradients(w: Weights, shape: Shape, inputs: Array, targets: Array) -> tuple[float, Weights]:
    """Mean cross-entropy of the next byte, and what each weight adds to it. ``inputs``, ``targets``: batch × time."""
    g: Weights = {}
    undo: list[Callable[[Array], Array]] = []
    x = w["tokens"][inputs] + w["positions"][: inputs.shape[1]]
    for i in range(shape.layers):
        name = f"layers.{i}."
        x = _residual(x, undo, g, lambda v, u, name=name: _attention(v, w, g, name, shape.heads, u), w, name + "norm1")  # type: ignore[misc]
        x = _residual(x, undo, g, lambda v, u, name=name: _feed_forward(v, w, g, name, u), w, name + "norm2")  # type: ignore[misc]
    last: list[Callable[[Array], Array]] = []
    x = _norm(x, w, g, "norm", last)
    logits = x @ w["tokens"].T
    logits -= logits.max(axis=-1, keepdims=True)
    likely = np.exp(logits)
    likely /= likely.sum(axis=-1, keepdims=True)
    count = targets.size
    rows = likely.reshape(count, -1)
    chosen = rows[np.arange(count), targets.reshape(-1)]
    loss = float(-np.log(np.maximum(chosen, 1e-30)).mean())
    rows[np.arange(count), targets.reshape(-1)] -= 1
    rows /= count
    g["tokens"] = rows.T @ x.reshape(count, -1)
    down = last[0](likely @ w["tokens"])
    for step in reversed(undo):
        down = step(down)
    np.add.at(g["tokens"], inputs, down)
    g["positions"] = np.zeros_like(w["positions"])
    g["positions"][: inputs.shape[1]] = down.sum(axis=0)
    return loss, g


Undo = list[Callable[[Array], Array]]


def _residual(x: Array, undo: Undo, g: Weights, layer: Callable[[Array, Undo], Array], w: Weights, norm: str) -> Array:
    inner: Undo = []
    y = x + layer(_norm(x, w, g, norm, inner), inner)

    def back(down: Array) -> Array:
        through = down
        for step in reversed(inner):
            through = step(through)
        return down + through

    undo.append(back)
    return y


def _norm(x: Array, w: Weights, g: Weights, name: str, undo: Undo) -> Array:
    scale = 1 / np.sqrt((x * x).mean(axis=-1, keepdims=True) + 1e-6)
    normal = x * scale

    def back(down: Array) -> Array:
        g[name] = (down * normal).reshape(-1, x.shape[-1]).sum(axis=0)
        inner = down * w[name]
        return scale * (inner - normal * (inner * normal).mean(axis=-1, keepdims=True))

    undo.append(back)
    return normal * w[name]


def _times(x: Array, w: Weights, g: Weights, name: str, undo: Undo) -> Array:
    def back(down: Array) -> Array:
        g[name] = x.reshape(-1, x.shape[-1]).T @ down.reshape(-1, down.shape[-1])
        return down @ w[name].T

    undo.append(back)
    return x @ w[name]


def _feed_forward(x: Array, w: Weights, g: Weights, name: str, undo: Undo) -> Array:
    x = _times(x, w, g, name + "up", undo)
    active = x > 0
    undo.append(lambda down: down * active)
    return _times(x * active, w, g, name + "down", undo)


def _attention(x: Array, w: Weights, g: Weights, name: str, heads: int, undo: Undo) -> Array:
    batch, time_, d = x.shape
    scale = x.dtype.type(1 / np.sqrt(d // heads))

    def apart(v: Array) -> Array:
        return v.reshape(batch, time_, heads, d // heads).transpose(0, 2, 1, 3)

    def together(v: Array) -> Array:
        return v.transpose(0, 2, 1, 3).reshape(batch, time_, d)

    q, k, v = (apart(p) for p in np.split(_times(x, w, g, name + "qkv", undo), 3, axis=-1))
    scores = np.where(np.tri(time_, dtype=bool), q @ k.swapaxes(-1, -2) * scale, x.dtype.type(-1e9))
    seen = np.exp(scores - scores.max(axis=-1, keepdims=True))
    seen /= seen.sum(axis=-1, keepdims=True)

    def back(down: Array) -> Array:
        each = apart(down)
        by_seen = each @ v.swapaxes(-1, -2)
        by_scores = seen * (by_seen - (by_seen * seen).sum(axis=-1, keepdims=True)) * scale
        parts = by_scores @ k, by_scores.swapaxes(-1, -2) @ q, seen.swapaxes(-1, -2) @ each
        return np.concatenate([together(p) for p in parts], axis=-1)

    undo.append(back)
    return _times(together(seen @ v), w, g, name + "out", undo)


@dataclass(frozen=True, slots=True)
class Training:
    """What came of it.

    Attributes:
        checkpoints: fp32 weights after each of ``KEPT`` steps.
        losses: mean cross-entropy of each step's batch, in nats a byte.
    """

    checkpoints: dict[int, Weights]
    losses: list[float]

    @property
    def parameters(self) -> int:
        """How many weights the model has."""
        return sum(v.size for v in self.checkpoints[STEPS].values())


def trained(say: Callable[[str], None] = print) -> Training:
    """Checkpoints and losses: from the cache, or trained now (minutes)."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "modelcast" / "bench"
    path = cache / f"transformer-{RECIPE}-{STEPS}.npz"
    if not path.exists():
        cache.mkdir(parents=True, exist_ok=True)
        kept, losses = _train(say)
        arrays = {f"{step}/{name}": v for step, weights in kept.items() for name, v in weights.items()}
        aside = path.with_suffix(f".{os.getpid()}.npz")
        np.savez(aside, losses=np.array(losses), **arrays)
        aside.replace(path)
    with np.load(path) as file:
        found = Training({step: {} for step in KEPT}, [float(loss) for loss in file["losses"]])
        for name in file.files:
            if "/" in name:
                found.checkpoints[int(name.split("/")[0])][name.split("/")[1]] = file[name]
    shown = ", ".join(f"{found.losses[i]:.3f}" for i in (0, *range(19, STEPS, 20)))
    say(f"a transformer of {found.parameters:,} parameters, {STEPS} steps; losses of steps 1, 20, 40 …: {shown}")
    return found


def _train(say: Callable[[str], None]) -> tuple[dict[int, Weights], list[float]]:
    """Adam with a warm-up, on random windows of the library's source."""
    shape, rng = Shape(), np.random.default_rng(0)
    folder = Path(sysconfig.get_paths()["stdlib"])
    text = np.frombuffer(b"".join(p.read_bytes() for p in sorted(folder.glob("*.py"))), np.uint8)
    w = fresh(shape, rng)
    first, second = ({k: np.zeros_like(v) for k, v in w.items()} for _ in range(2))
    kept, losses, began = {}, [], time.monotonic()
    for step in range(1, STEPS + 1):
        at = rng.integers(0, len(text) - shape.context - 1, 8)
        windows = text[at[:, None] + np.arange(shape.context + 1)].astype(np.int64)
        loss, g = loss_and_gradients(w, shape, windows[:, :-1], windows[:, 1:])
        losses.append(loss)
        rate = 6e-4 * min(1, step / 20)
        for name, gradient in g.items():
            first[name] += np.float32(0.1) * (gradient - first[name])
            second[name] += np.float32(0.01) * (gradient * gradient - second[name])
            mean, spread = first[name] / (1 - 0.9**step), second[name] / (1 - 0.99**step)
            w[name] = (w[name] - np.float32(rate) * mean / (np.sqrt(spread) + 1e-8)).astype(np.float32)
        if step in KEPT:
            kept[step] = {k: v.copy() for k, v in w.items()}
        if step % 20 == 0:
            say(f"training, step {step} of {STEPS}: loss {loss:.3f}, {time.monotonic() - began:.0f} s")
    return kept, losses


if __name__ == "__main__":
    trained()
