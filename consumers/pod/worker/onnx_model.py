"""One ONNX model in ONNX Runtime, spoken to in V2 requests. Lives in a worker process, never in the front."""

import contextlib
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import orjson

from modelcast.consumers.pod.engine import NotLoadable, Unsupported
from modelcast.consumers.pod.worker.frames import ALL_JSON
from modelcast.consumers.pod.worker.tensors import (
    DTYPES,
    Array,
    BadRequest,
    from_bytes,
    from_json,
    read_shape,
    to_bytes,
)

_NO_MEMORY = ("bad_alloc", "Failed to allocate memory", "bad allocation")  # ONNX Runtime has no error class for it
_DATATYPES = {
    "tensor(bool)": "BOOL",
    "tensor(uint8)": "UINT8",
    "tensor(uint16)": "UINT16",
    "tensor(uint32)": "UINT32",
    "tensor(uint64)": "UINT64",
    "tensor(int8)": "INT8",
    "tensor(int16)": "INT16",
    "tensor(int32)": "INT32",
    "tensor(int64)": "INT64",
    "tensor(float16)": "FP16",
    "tensor(float)": "FP32",
    "tensor(double)": "FP64",
    "tensor(string)": "BYTES",
}


def find_model_file(folder: Path) -> Path:
    """The artifact's ONNX file: ``model.onnx`` at the top, or else the only ``.onnx`` there is.

    Raises:
        Unsupported: there is none, or several to choose from.
    """
    preferred = folder / "model.onnx"
    if preferred.is_file():
        return preferred
    found = sorted(folder.rglob("*.onnx"))
    if len(found) != 1:
        names = ", ".join(p.relative_to(folder).as_posix() for p in found[:5]) or "none"
        raise Unsupported(
            f"this pod serves ONNX: an artifact needs model.onnx or exactly one .onnx file, found: {names}",
            hint="serve another format with `modelcast run companion` beside its own server",
        )
    return found[0]


class OnnxModel:
    """A loaded model. ``infer`` may be called from several threads at once."""

    def __init__(self, folder: Path, *, model: str, version: int, intra_op_threads: int) -> None:
        """Load it.

        Raises:
            NotLoadable: not a model that ONNX Runtime loads.
            Unsupported: no ONNX, or a model with inputs that V2 can't say.
            MemoryError: there is not enough memory for it now.
        """
        options = ort.SessionOptions()
        options.log_severity_level = 3
        if intra_op_threads > 1:
            options.use_per_session_threads = False  # the worker has made the pool; see worker.py for why
        else:
            options.intra_op_num_threads = 1
        try:
            self._session = ort.InferenceSession(
                str(find_model_file(folder)), options, providers=["CPUExecutionProvider"]
            )
        except Unsupported:
            raise
        except Exception as error:
            if any(sign in str(error) for sign in _NO_MEMORY):
                raise MemoryError(str(error)[:500]) from None
            raise NotLoadable(f"ONNX Runtime can't load it: {str(error)[:500]}") from None
        self._model, self._version = model, str(version)
        self._inputs = {i.name: (_DATATYPES.get(i.type, ""), i.shape) for i in self._session.get_inputs()}
        self._outputs = {o.name: _DATATYPES[o.type] for o in self._session.get_outputs() if o.type in _DATATYPES}
        odd = [i.name for i in self._session.get_inputs() if i.type not in _DATATYPES]
        if odd or not self._outputs:
            raise Unsupported(
                f"inputs {odd} are not tensors that V2 knows" if odd else "no output is a tensor",
                hint="export with zipmap=False" if not odd else "",
            )
        self.metadata = {
            "name": model,
            "versions": [self._version],
            "platform": "onnxruntime_onnx",
            "inputs": [
                {"name": n, "datatype": t, "shape": [d if isinstance(d, int) else -1 for d in s]}
                for n, (t, s) in self._inputs.items()
            ],
            "outputs": [
                {
                    "name": o.name,
                    "datatype": _DATATYPES[o.type],
                    "shape": [d if isinstance(d, int) else -1 for d in o.shape],
                }
                for o in self._session.get_outputs()
                if o.name in self._outputs
            ],
        }

    def warm_up(self) -> None:
        """Run once on zeros of the declared shapes (free dimensions are 1), so that no client pays for the first run.

        A model may dislike zeros (a look-up of an unknown key): that is no reason not to serve it.
        """
        feed: dict[str, Array] = {}
        for name, (datatype, shape) in self._inputs.items():
            array = np.zeros([d if isinstance(d, int) and d >= 0 else 1 for d in shape], DTYPES[datatype])
            if datatype == "BYTES":
                array[...] = ""
            feed[name] = array
        with contextlib.suppress(Exception):
            self._session.run(None, feed)

    def infer(self, body: bytes, json_size_bytes: int) -> tuple[int, int, bytes]:
        """Answer one V2 request: (HTTP status, size of the JSON part or ``ALL_JSON``, body). Never raises."""
        try:
            return self._infer(body, json_size_bytes)
        except BadRequest as error:
            return 400, ALL_JSON, error_body(error.message)
        except MemoryError:
            return 400, ALL_JSON, error_body("the request needs more memory than there is")
        except Exception as error:
            # InvalidArgument: shapes or types that ONNX Runtime itself found not to fit the model.
            status = 400 if type(error).__name__ == "InvalidArgument" else 500
            return status, ALL_JSON, error_body(f"ONNX Runtime: {str(error)[:1000]}")

    def _infer(self, body: bytes, json_size_bytes: int) -> tuple[int, int, bytes]:
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
        results = self._session.run(wanted, feed)
        return self._answer(request, dict(zip(wanted, results, strict=True)), as_bytes)

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
            datatype, declared = self._inputs[name]
            if item.get("datatype") != datatype:
                raise BadRequest(f"input {name!r} is {datatype}, not {item.get('datatype')!r}")
            shape = read_shape(item.get("shape"), name)
            if len(shape) != len(declared) or any(
                isinstance(d, int) and d >= 0 and d != n for d, n in zip(declared, shape, strict=True)
            ):
                raise BadRequest(f"input {name!r} has shape {list(shape)}, the model declares {declared}")
            size = _parameter(item, "binary_data_size")
            if size is None:
                feed[name] = from_json(item.get("data"), datatype, shape, name)
                continue
            if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size <= len(raw) - at:
                raise BadRequest(f"input {name!r}: 'binary_data_size' does not fit the body")
            feed[name] = from_bytes(raw[at : at + size], datatype, shape, name)
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
        answer: dict[str, Any] = {"model_name": self._model, "model_version": self._version}
        if isinstance(request.get("id"), str):
            answer["id"] = request["id"]
        tail: list[bytes] = []
        outputs: list[dict[str, Any]] = []
        for name, array in results.items():
            item: dict[str, Any] = {"name": name, "datatype": self._outputs[name], "shape": list(array.shape)}
            if name in as_bytes:
                tail.append(to_bytes(array))
                item["parameters"] = {"binary_data_size": len(tail[-1])}
            else:
                flat = np.ascontiguousarray(array).ravel()
                item["data"] = flat.tolist() if flat.dtype.kind == "O" else flat
            outputs.append(item)
        answer["outputs"] = outputs
        head = orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY)
        return (200, len(head), b"".join([head, *tail])) if tail else (200, ALL_JSON, head)


def _parameter(item: dict[str, Any], name: str) -> object:
    parameters = item.get("parameters")
    return parameters.get(name) if isinstance(parameters, dict) else None


def error_body(message: str) -> bytes:
    """A V2 error."""
    return orjson.dumps({"error": message.encode("utf-8", "replace").decode()})
