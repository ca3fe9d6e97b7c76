"""The model that the benchmark trains learns by its true gradients."""

import numpy as np

from tests.bench.deltas.trained import Shape, fresh, loss_and_gradients

SHAPE = Shape(vocabulary=11, width=8, layers=2, heads=2, context=5)


def test_gradients_are_what_a_small_change_shows() -> None:
    rng = np.random.default_rng(0)
    w = {k: v + rng.standard_normal(v.shape) * 0.3 for k, v in fresh(SHAPE, rng, "f8").items()}
    inputs, targets = rng.integers(0, 11, (2, 3, 5))
    _, g = loss_and_gradients(w, SHAPE, inputs, targets)
    assert g.keys() == w.keys()
    for name, values in w.items():
        for at in rng.choice(values.size, min(6, values.size), replace=False):
            sides = []
            for step in (1e-5, -1e-5):
                moved = values.copy()
                moved.reshape(-1)[at] += step
                sides.append(loss_and_gradients(w | {name: moved}, SHAPE, inputs, targets)[0])
            assert np.isclose(g[name].reshape(-1)[at], (sides[0] - sides[1]) / 2e-5, rtol=1e-4, atol=1e-7), name
