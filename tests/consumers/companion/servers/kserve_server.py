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
        return True

    def predict(self, payload: object, headers: object = None, response_headers: object = None) -> object:
        return {
            "model_name": self.name,
            "model_version": str(self.version),
            "id": "1",
            "outputs": [{"name": "y", "shape": [1], "datatype": "INT32", "data": [self.number]}],
        }


serve_models(NumberModel, sys.argv[1], http_port=int(sys.argv[2]), enable_grpc=False)
