"""The program of somebody who serves with KServe; it runs in KServe's own environment: ``REPOSITORY HTTP_PORT``."""

import sys
import time

from modelcast.consumers.kserve import ModelcastModel, UnsupportedArtifact, serve_models


class NumberModel(ModelcastModel):
    def load(self) -> bool:
        wait = self.folder / "wait.txt"
        time.sleep(float(wait.read_text()) if wait.exists() else 0.0)
        number = self.folder / "number.txt"
        if not number.exists():
            raise UnsupportedArtifact("no number.txt")
        self.number = int(number.read_text())
        floats = self.folder / "floats.txt"
        otherwise = self.folder / "otherwise.txt"
        floats = otherwise if otherwise.exists() and "." not in self.name else floats  # no trial
        self.floats = [float(word) for word in floats.read_text().split()] if floats.exists() else []
        return True

    def predict(self, payload: object, headers: object = None, response_headers: object = None) -> object:
        output = {"name": "y", "shape": [1], "datatype": "INT32", "data": [self.number]}
        if self.floats:
            output = {"name": "y", "shape": [len(self.floats)], "datatype": "FP32", "data": self.floats}
        return {
            "model_name": self.name,
            "model_version": str(self.version),
            "id": "1",
            "outputs": [output],
        }


serve_models(NumberModel, sys.argv[1], http_port=int(sys.argv[2]), enable_grpc=False)
