"""The MLServer runtime of the models that tests publish; it runs in MLServer's own environment."""

import time
from pathlib import Path

from mlserver import MLModel
from mlserver.types import InferenceRequest, InferenceResponse, ResponseOutput
from mlserver.utils import get_model_uri


class NumberModel(MLModel):
    async def load(self) -> bool:
        folder = Path(await get_model_uri(self._settings))
        wait = folder / "wait.txt"
        time.sleep(float(wait.read_text()) if wait.exists() else 0.0)  # loads block, as real ones do
        self.number = int((folder / "number.txt").read_text())
        floats = folder / "floats.txt"
        otherwise = folder / "otherwise.txt"
        floats = otherwise if otherwise.exists() and "." not in self.name else floats  # no trial
        self.floats = [float(word) for word in floats.read_text().split()] if floats.exists() else []
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        output = ResponseOutput(name="y", shape=[1], datatype="INT32", data=[self.number])
        if self.floats:
            output = ResponseOutput(name="y", shape=[len(self.floats)], datatype="FP32", data=self.floats)
        return InferenceResponse(model_name=self.name, model_version=self.version, outputs=[output])
