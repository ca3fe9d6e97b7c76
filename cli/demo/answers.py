"""What each version computes offline, on inputs where any two of them differ: to tell who really answered."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]

INPUT_NAME = "X"
OUTPUT_NAME = "probabilities"
MODEL_FILE = "model.onnx"
DIFFERS_BY = 0.02
SAMPLES = 64
BATCH = 16


class Answers:
    """Right answers.

    Args:
        versions: their folders.
        images_max: so many digits are tried for their answers, from the last backwards.
    """

    def __init__(self, versions: Mapping[int, Path], *, images_max: int) -> None:
        from sklearn.datasets import load_digits

        images = (load_digits().data / 16).astype(np.float32)[-images_max:]
        every = {version: infer(folder, images) for version, folder in versions.items()}
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


def infer(folder: Path, inputs: Array) -> Array:
    """The probabilities that a model gives, computed here, a few inputs at a time."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(folder / MODEL_FILE), providers=["CPUExecutionProvider"])
    parts = [inputs[at : at + BATCH] for at in range(0, len(inputs), BATCH)]
    return np.concatenate([np.asarray(session.run([OUTPUT_NAME], {INPUT_NAME: part})[0], np.float32) for part in parts])
