"""The codec finds the tensors of the demo's large model, whose weights lie beside its graph."""

from pathlib import Path

import numpy as np
import pytest

from modelcast.cli.demo import wide
from modelcast.deltas import codec as delta


def test_the_large_models_tensors_are_found_beside_its_graph(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wide, "WIDTH", 512)
    folder = next(version.folder for version in wide.train_wide(tmp_path))
    found = delta.layouts_of(folder)[wide.WEIGHTS_FILE]
    weights = np.fromfile(folder / wide.WEIGHTS_FILE, np.float32)
    assert sum(tensor.size_bytes for tensor in found.tensors) == weights.nbytes
