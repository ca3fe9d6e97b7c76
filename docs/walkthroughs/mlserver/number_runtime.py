"""Answers the number in the model's folder; MLServer imports it."""

from pathlib import Path

from mlserver import MLModel
from mlserver.types import InferenceRequest, InferenceResponse, ResponseOutput
from mlserver.utils import get_model_uri


class NumberModel(MLModel):
    async def load(self) -> bool:
        self.number = int((Path(await get_model_uri(self._settings)) / "number.txt").read_text())
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        output = ResponseOutput(name="y", shape=[1], datatype="INT32", data=[self.number])
        return InferenceResponse(model_name=self.name, outputs=[output])
