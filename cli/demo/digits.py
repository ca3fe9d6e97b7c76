"""A small real model for the demo: a network that learns handwritten digits, exported to ONNX as it gets better."""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from modelcast.cli.demo.answers import MODEL_FILE

HIDDEN = (96,)
EPOCHS = (4, 12, 12)  # more of them before each version


@dataclass(frozen=True, slots=True)
class TrainedVersion:
    """One version: its folder, and how good it is on digits that it has not seen."""

    folder: Path
    accuracy: float


def train(folder: Path) -> Iterator[TrainedVersion]:
    """Train in stages, giving a version after each of ``EPOCHS``. A second or two a stage at most."""
    from sklearn.datasets import load_digits
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.model_selection import train_test_split
    from sklearn.neural_network import MLPClassifier

    images, labels = load_digits(return_X_y=True)
    train_x, test_x, train_y, test_y = train_test_split(
        (images / 16).astype(np.float32), labels, test_size=0.25, random_state=7
    )
    network = MLPClassifier(HIDDEN, max_iter=1, warm_start=True, random_state=7)
    for number, epochs in enumerate(EPOCHS, start=1):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            for _ in range(epochs):
                network.fit(train_x, train_y)
        version = folder / f"v{number}"
        version.mkdir(parents=True)
        (version / MODEL_FILE).write_bytes(_export(network))
        yield TrainedVersion(version, float(network.score(test_x, test_y)))


def _export(network: Any) -> bytes:
    from skl2onnx import to_onnx

    exported = to_onnx(
        network, np.zeros((1, 64), np.float32), options={id(network): {"zipmap": False}}, target_opset=17
    )
    data = exported.SerializeToString()
    assert isinstance(data, bytes)
    return data
