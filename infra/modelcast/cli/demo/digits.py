"""Real models for the demo: a network that learns handwritten digits, exported to ONNX as it gets better."""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]

INPUT_NAME = "X"
OUTPUT_NAME = "probabilities"
HIDDEN = (96,)
EPOCHS = (4, 12, 12)  # more of them before each version
DIFFERS_BY = 0.02
SAMPLES = 64


@dataclass(frozen=True, slots=True)
class TrainedVersion:
    """One version: its ONNX file and how good it is on digits that it has not seen."""

    onnx: bytes
    accuracy: float


def train() -> Iterator[TrainedVersion]:
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
    for epochs in EPOCHS:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            for _ in range(epochs):
                network.fit(train_x, train_y)
        yield TrainedVersion(_export(network), float(network.score(test_x, test_y)))


def _export(network: Any) -> bytes:
    from skl2onnx import to_onnx

    exported = to_onnx(
        network, np.zeros((1, 64), np.float32), options={id(network): {"zipmap": False}}, target_opset=17
    )
    data = exported.SerializeToString()
    assert isinstance(data, bytes)
    return data


class Answers:
    """What each version computes offline, on inputs where any two of them differ: to tell who really answered."""

    def __init__(self, models: dict[int, bytes]) -> None:
        from sklearn.datasets import load_digits

        images = (load_digits().data / 16).astype(np.float32)
        every = {version: infer(model, images) for version, model in models.items()}
        tables = list(every.values())
        apart = np.full(len(images), np.inf)
        for i, one in enumerate(tables):
            for other in tables[:i]:
                apart = np.minimum(apart, np.abs(one - other).max(axis=1))
        chosen = np.flatnonzero(apart > DIFFERS_BY)[:SAMPLES]
        if not len(chosen):
            raise RuntimeError("the versions agree everywhere: nothing to tell them apart by")
        self.inputs: Array = images[chosen]
        self._outputs = {version: table[chosen] for version, table in every.items()}

    def right(self, version: int, sample: int, output: list[float]) -> bool:
        """Whether ``output`` is what ``version`` computes for the input number ``sample``."""
        expected = self._outputs.get(version)
        return (
            expected is not None
            and len(output) == expected.shape[1]
            and bool(np.allclose(expected[sample], np.asarray(output, np.float32), atol=1e-4))
        )


def infer(model: bytes, inputs: Array) -> Array:
    """The probabilities that ``model`` gives, computed here."""
    import onnxruntime

    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    (output,) = session.run([OUTPUT_NAME], {INPUT_NAME: inputs})
    return np.asarray(output, np.float32)
