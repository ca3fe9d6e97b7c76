"""The demo's failing version: it loads, and answers nothing."""

from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from modelcast.cli.demo.answers import INPUT_NAME, MODEL_FILE, OUTPUT_NAME, infer
from modelcast.cli.demo.canary import CanaryEnd, complaint, write_failing
from modelcast.cli.demo.digits import train


def test_a_version_is_made_that_loads_and_can_not_answer(tmp_path: Path) -> None:
    good = next(iter(train(tmp_path / "good"))).folder
    write_failing(good, tmp_path / "failing")
    inputs = np.zeros((1, 64), np.float32)
    assert infer(good, inputs).shape == (1, 10)
    session = onnxruntime.InferenceSession(str(tmp_path / "failing" / MODEL_FILE), providers=["CPUExecutionProvider"])
    with pytest.raises(Exception, match=r"[Rr]eshape"):
        session.run([OUTPUT_NAME], {INPUT_NAME: inputs})


def test_only_a_canary_that_left_by_itself_is_as_promised() -> None:
    assert complaint(CanaryEnd("ABORTED", 5.0, "eu cut it off")) == ""
    assert "it is PROMOTED" in complaint(CanaryEnd("PROMOTED", 5.0, ""))
