"""A large real model for the demo: random features in a table of 68 MiB, and a head that learns on top.

Each pixel's ink picks a row of the table, the rows are added up and cut at zero, and the head reads digits off that
sum. As when a large network is tuned for a task, little of it learns: the head, and of the table the rows of full ink.
They lie all over the file: most of its megabytes change, though only one value in twenty does.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from modelcast.cli.demo.answers import INPUT_NAME, MODEL_FILE, OUTPUT_NAME, Array
from modelcast.cli.demo.digits import TrainedVersion

PIXELS, INKS, CLASSES = 64, 17, 10
WIDTH = 16 * 1024
FULL_INK = np.arange(PIXELS) * INKS + INKS - 1
WEIGHTS_FILE = "weights.bin"
LEARNT_FROM, TRIED_ON = 400, 200
EPOCHS = (4, 20)  # more of them before each version
ROWS_EVERY = 4  # epochs
RATE = 0.4


def train_wide(folder: Path) -> Iterator[TrainedVersion]:
    """Train in stages, giving a version after each of ``EPOCHS``. A few seconds in all."""
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    table = np.random.default_rng(7).standard_normal((PIXELS * INKS, WIDTH), dtype=np.float32)
    table *= np.float32(1 / np.sqrt(PIXELS))
    chosen, seen = _rows_of(images[:LEARNT_FROM]), np.eye(CLASSES, dtype=np.float32)[labels[:LEARNT_FROM]]
    sums = chosen @ table
    head = np.zeros((WIDTH, CLASSES), np.float32)
    step = np.float32(RATE / np.sqrt(WIDTH) / LEARNT_FROM)
    for number, epochs in enumerate(EPOCHS, start=1):
        for epoch in range(1, epochs + 1):
            features = np.maximum(sums, 0)
            wrong = _softmax(features @ head) - seen
            if epoch % ROWS_EVERY == 0:
                change = -step * (chosen[:, FULL_INK].T @ ((wrong @ head.T) * (sums > 0)))
                table[FULL_INK] += change
                sums += chosen[:, FULL_INK] @ change
            head -= step * (features.T @ wrong)
        version = folder / f"v{number}"
        version.mkdir(parents=True)
        _export(table, head, version)
        guessed = np.maximum(_rows_of(images[-TRIED_ON:]) @ table, 0) @ head
        yield TrainedVersion(version, float((guessed.argmax(axis=1) == labels[-TRIED_ON:]).mean()))


def _rows_of(images: npt.NDArray[np.float64]) -> Array:
    """Which rows of the table each image picks, as ones among zeros."""
    chosen = np.zeros((len(images), PIXELS * INKS), np.float32)
    chosen[np.arange(len(images))[:, None], images.astype(np.int64) + np.arange(PIXELS) * INKS] = 1
    return chosen


def _softmax(scores: Array) -> Array:
    raised = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=1, keepdims=True), np.float32)


def _export(table: Array, head: Array, folder: Path) -> None:
    """The graph in one file, all that was learnt beside it in another."""
    from onnx import TensorProto, checker, helper, numpy_helper, save_model

    with (folder / WEIGHTS_FILE).open("wb") as file:
        table.tofile(file)
        head.tofile(file)

    def beside(name: str, value: Array, offset_bytes: int) -> TensorProto:
        tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, data_location=TensorProto.EXTERNAL)
        tensor.dims.extend(value.shape)
        place = {"location": WEIGHTS_FILE, "offset": str(offset_bytes), "length": str(value.nbytes)}
        for key, text in place.items():
            tensor.external_data.add(key=key, value=text)
        return tensor

    nodes = [
        helper.make_node("Mul", [INPUT_NAME, "inks"], ["dark"]),
        helper.make_node("Round", ["dark"], ["whole"]),
        helper.make_node("Clip", ["whole", "none", "inks"], ["ink"]),
        helper.make_node("Cast", ["ink"], ["level"], to=TensorProto.INT64),
        helper.make_node("Add", ["level", "rows"], ["row"]),
        helper.make_node("Gather", ["table", "row"], ["each"]),
        helper.make_node("ReduceSum", ["each", "axis"], ["sum"], keepdims=0),
        helper.make_node("Relu", ["sum"], ["features"]),
        helper.make_node("MatMul", ["features", "head"], ["scores"]),
        helper.make_node("Softmax", ["scores"], [OUTPUT_NAME], axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "digits-wide",
        [helper.make_tensor_value_info(INPUT_NAME, TensorProto.FLOAT, ["n", PIXELS])],
        [helper.make_tensor_value_info(OUTPUT_NAME, TensorProto.FLOAT, ["n", CLASSES])],
        [
            numpy_helper.from_array(np.array(INKS - 1, np.float32), "inks"),
            numpy_helper.from_array(np.array(0, np.float32), "none"),
            numpy_helper.from_array(np.arange(PIXELS, dtype=np.int64) * INKS, "rows"),
            numpy_helper.from_array(np.array([1], np.int64), "axis"),
            beside("table", table, 0),
            beside("head", head, table.nbytes),
        ],
    )
    save_model(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), folder / MODEL_FILE)
    checker.check_model(str(folder / MODEL_FILE))
