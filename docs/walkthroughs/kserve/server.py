"""Answers the number in the model's folder: python server.py MODELS PORT."""

import sys

from modelcast.consumers.kserve import ModelcastModel, serve_models


class NumberModel(ModelcastModel):
    def load(self):
        self.number = int((self.folder / "number.txt").read_text())
        return True

    def predict(self, payload, headers=None, response_headers=None):
        output = {"name": "y", "shape": [1], "datatype": "INT32", "data": [self.number]}
        return {"id": "1", "model_name": self.name, "model_version": str(self.version), "outputs": [output]}


serve_models(NumberModel, sys.argv[1], http_port=int(sys.argv[2]), enable_grpc=False)
