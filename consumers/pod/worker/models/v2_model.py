"""One model, spoken to in V2 requests. Lives in a worker process, never in the front."""

import base64
from collections.abc import Mapping
from typing import Any

import numpy as np
import orjson

from modelcast.consumers.pod.worker.frames import ALL_JSON
from modelcast.consumers.pod.worker.models.output_look import OutputLook
from modelcast.consumers.pod.worker.models.runtime import Runtime
from modelcast.consumers.pod.worker.tensors import (
    DTYPES,
    Array,
    BadRequest,
    decode_base64,
    from_bytes,
    from_json,
    read_shape,
    to_bytes,
)

BASE64 = "base64"
"""MLServer's ``content_type`` of BYTES that stand in JSON as base64, for those that are no UTF-8."""


class V2Model:
    """A model that answers V2 requests. ``infer`` is thread-safe."""

    def __init__(self, runtime: Runtime, *, name: str, version: int) -> None:
        self.name = name
        self._version = str(version)
        self._runtime = runtime
        self._inputs = {spec.name: spec for spec in runtime.inputs}
        self._outputs = {spec.name: spec for spec in runtime.outputs}
        self._look = OutputLook()
        self.metadata: dict[str, Any] = {
            "name": name,
            "versions": [self._version],
            "platform": runtime.platform,
            "inputs": [spec.described for spec in runtime.inputs],
            "outputs": [spec.described for spec in runtime.outputs],
        }

    def warm_up(self) -> None:
        """Run once on zeros of the declared shapes (free dimensions are 1), so that no client pays for the first run.

        A model may dislike zeros (a look-up of an unknown key): that is no reason not to serve it.

        Raises:
            MemoryError: the smallest request takes more than there is: no other one would be answered either.
        """
        feed: dict[str, Array] = {}
        for spec in self._inputs.values():
            array = np.zeros([d if d >= 0 else 1 for d in spec.shape or ()], DTYPES[spec.datatype])
            if spec.datatype == "BYTES":
                array[...] = b""
            feed[spec.name] = array
        try:
            self._runtime.run(list(self._outputs), feed)
        except MemoryError:
            raise
        except Exception:  # noqa: S110 - see above
            pass

    def infer(self, body: bytes, json_size_bytes: int, looks: bool = False) -> tuple[int, int, bytes]:
        """Answer one V2 request: (HTTP status, size of the JSON part or ``ALL_JSON``, body). Never raises.

        ``looks``: to the status is added what the outputs are like, see ``frames``.
        """
        try:
            return self._infer(body, json_size_bytes, looks)
        except BadRequest as error:
            return 400, ALL_JSON, error_body(error.message)
        except MemoryError:
            return 400, ALL_JSON, error_body("the request needs more memory than there is")
        except Exception as error:
            return 500, ALL_JSON, error_body(f"{self._runtime.platform}: {type(error).__name__}: {str(error)[:1000]}")

    def answer(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """The answer to one V2 request of JSON alone.

        Raises:
            BadRequest: the request does not fit the model.
            Exception: as the runtime raised it.
        """
        _, split, body = self._infer(orjson.dumps(request), ALL_JSON)
        answer: dict[str, Any] = orjson.loads(body if split == ALL_JSON else body[:split])
        return answer

    def _infer(self, body: bytes, json_size_bytes: int, looks: bool = False) -> tuple[int, int, bytes]:
        split = len(body) if json_size_bytes == ALL_JSON else json_size_bytes
        if split > len(body):
            raise BadRequest("Inference-Header-Content-Length is larger than the body")
        view = memoryview(body)
        try:
            request = orjson.loads(view[:split])
        except orjson.JSONDecodeError as error:
            raise BadRequest(f"not JSON: {error}") from None
        if not isinstance(request, dict):
            raise BadRequest("the request must be a JSON object")
        feed = self._feed(request, view[split:])
        wanted, as_bytes = self._wanted(request)
        results = dict(zip(wanted, self._runtime.run(wanted, feed), strict=True))
        status, json_size_bytes, answer = self._answer(request, results, as_bytes)
        return status + (self._look.at(body, results) if looks else 0), json_size_bytes, answer

    def _feed(self, request: dict[str, Any], raw: memoryview) -> dict[str, Array]:
        inputs = request.get("inputs")
        if not isinstance(inputs, list):
            raise BadRequest("'inputs' must be a list")
        feed: dict[str, Array] = {}
        at = 0
        for item in inputs:
            name = item.get("name") if isinstance(item, dict) else None
            if not isinstance(name, str) or name not in self._inputs or name in feed:
                raise BadRequest(f"unknown or repeated input {name!r}; the model takes {sorted(self._inputs)}")
            spec = self._inputs[name]
            if item.get("datatype") != spec.datatype:
                raise BadRequest(f"input {name!r} is {spec.datatype}, not {item.get('datatype')!r}")
            shape = read_shape(item.get("shape"), name)
            if not spec.takes(shape):
                raise BadRequest(f"input {name!r} has shape {list(shape)}, the model declares {list(spec.shape or ())}")
            size = _parameter(item, "binary_data_size")
            if size is None:
                data = item.get("data")
                if spec.datatype == "BYTES" and _parameter(item, "content_type") == BASE64:
                    feed[name] = decode_base64(data, shape, name)
                else:
                    feed[name] = from_json(data, spec.datatype, shape, name)
                continue
            if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size <= len(raw) - at:
                raise BadRequest(f"input {name!r}: 'binary_data_size' does not fit the body")
            feed[name] = from_bytes(raw[at : at + size], spec.datatype, shape, name)
            at += size
        if at != len(raw):
            raise BadRequest(f"{len(raw) - at} bytes after the last tensor")
        if missing := self._inputs.keys() - feed.keys():
            raise BadRequest(f"missing inputs {sorted(missing)}")
        return feed

    def _wanted(self, request: dict[str, Any]) -> tuple[list[str], set[str]]:
        everything_binary = _parameter(request, "binary_data_output") is True
        outputs = request.get("outputs")
        if not outputs and outputs in (None, []):
            names = list(self._outputs)
            return names, set(names) if everything_binary else set()
        if not isinstance(outputs, list):
            raise BadRequest("'outputs' must be a list")
        wanted: list[str] = []
        as_bytes: set[str] = set()
        for item in outputs:
            name = item.get("name") if isinstance(item, dict) else None
            if not isinstance(name, str) or name not in self._outputs or name in wanted:
                raise BadRequest(f"unknown or repeated output {name!r}; the model gives {sorted(self._outputs)}")
            wanted.append(name)
            binary = _parameter(item, "binary_data")
            if binary is True or (binary is None and everything_binary):
                as_bytes.add(name)
        return wanted, as_bytes

    def _answer(self, request: dict[str, Any], results: dict[str, Array], as_bytes: set[str]) -> tuple[int, int, bytes]:
        answer: dict[str, Any] = {"model_name": self.name, "model_version": self._version}
        if isinstance(request.get("id"), str):
            answer["id"] = request["id"]
        tail: list[bytes] = []
        outputs: list[dict[str, Any]] = []
        for name, array in results.items():
            item: dict[str, Any] = {"name": name, "datatype": self._outputs[name].datatype, "shape": list(array.shape)}
            if name in as_bytes:
                tail.append(to_bytes(array))
                item["parameters"] = {"binary_data_size": len(tail[-1])}
            elif array.dtype.kind == "O":
                item["data"], is_base64 = _texts(array)
                if is_base64:
                    item["parameters"] = {"content_type": BASE64}
            else:
                item["data"] = array.ravel()  # contiguous, whatever the array is
            outputs.append(item)
        answer["outputs"] = outputs
        head = orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY)
        return (200, len(head), b"".join([head, *tail])) if tail else (200, ALL_JSON, head)


def _texts(array: Array) -> tuple[list[str], bool]:
    """Elements of BYTES for JSON, and whether they are base64: where one is no UTF-8, all are."""
    values: list[str | bytes] = array.ravel().tolist()
    try:
        return [value.decode() if isinstance(value, bytes) else value for value in values], False
    except UnicodeDecodeError:
        raw = (value if isinstance(value, bytes) else value.encode() for value in values)
        return [base64.b64encode(value).decode() for value in raw], True


def _parameter(item: dict[str, Any], name: str) -> object:
    parameters = item.get("parameters")
    return parameters.get(name) if isinstance(parameters, dict) else None


def error_body(message: str) -> bytes:
    """The JSON body of a V2 error."""
    return orjson.dumps({"error": message.encode("utf-8", "replace").decode()})
