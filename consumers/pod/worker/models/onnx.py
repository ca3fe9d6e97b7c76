"""Models that ONNX Runtime runs."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

from modelcast.consumers.pod.engine import NotLoadable, Unsupported
from modelcast.consumers.pod.environment import environment_code_of
from modelcast.consumers.pod.worker.models.runtime import TensorSpec
from modelcast.consumers.pod.worker.tensors import Array, BadRequest
from modelcast.consumers.pod_clients.port import LoadFailed

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


class OnnxRuntime:
    """See ``Runtime``."""

    platform = "onnxruntime_onnx"

    def __init__(self, path: Path, *, name: str, intra_op_threads: int) -> None:
        """Load a file. ``name`` is its path in the artifact, for messages.

        Raises:
            NotLoadable: not a model that ONNX Runtime loads.
            Unsupported: a model with inputs that V2 can't say.
            LoadFailed: the reason lies outside the model; see its codes.
            MemoryError: there is not enough memory for it now.
        """
        options = ort.SessionOptions()
        options.log_severity_level = 3
        if intra_op_threads > 1:
            options.use_per_session_threads = False  # the worker has made the pool; see worker.py for why
        else:
            options.intra_op_num_threads = 1
        try:
            self._session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:
            if _is_out_of_memory(error):
                raise MemoryError(f"{name}: {str(error)[:500]}") from None
            message = f"ONNX Runtime can't load it: {str(error)[:500]}"
            if code := environment_code_of(error):
                raise LoadFailed(message, code=code, subject=name) from None
            raise NotLoadable(message, subject=name) from None
        odd = [i.name for i in self._session.get_inputs() if i.type not in _DATATYPES]
        self.inputs = tuple(_spec(i) for i in self._session.get_inputs() if i.type in _DATATYPES)
        self.outputs = tuple(_spec(o) for o in self._session.get_outputs() if o.type in _DATATYPES)
        self._strings = {i.name for i in self.inputs if i.datatype == "BYTES"}
        if odd or not self.outputs:
            raise Unsupported(
                f"inputs {odd} are not tensors that V2 knows" if odd else "no output is a tensor",
                subject=name,
                hint="export with zipmap=False" if not odd else "",
            )

    def run(self, wanted: Sequence[str], feed: Mapping[str, Array]) -> list[Array]:
        """See ``Runtime.run``."""
        if self._strings:
            feed = {name: strings(array, name) if name in self._strings else array for name, array in feed.items()}
        try:
            results: list[Array] = self._session.run(wanted, feed)
        except Exception as error:
            if type(error).__name__ == "InvalidArgument":  # shapes or types that do not fit the model
                raise BadRequest(f"ONNX Runtime: {str(error)[:1000]}") from None
            if _is_out_of_memory(error):
                raise MemoryError(str(error)[:500]) from None
            if isinstance(error, UnicodeDecodeError):
                raise RuntimeError("an output is no UTF-8, and its Python interface gives out no other BYTES") from None
            raise
        return results


def strings(array: Array, name: str) -> Array:
    """Elements of bytes as ONNX Runtime's Python interface takes them: text, or fixed-size bytes of any value.

    Raises:
        BadRequest: it takes them in no way.
    """
    values: list[bytes] = array.ravel().tolist()
    try:
        text = np.empty(len(values), object)
        text[:] = [value.decode() for value in values]
        return text.reshape(array.shape)
    except UnicodeDecodeError:
        pass
    size = max(map(len, values))
    if all(len(value) == size for value in values):
        return np.array(values, f"V{size}").reshape(array.shape)
    if not any(b"\0" in value for value in values):
        return np.array(values, f"S{size + 1}").reshape(array.shape)
    raise BadRequest(
        f"input {name!r}: BYTES that are no UTF-8, hold zero bytes and differ in length can't be given to ONNX Runtime"
    )


def _spec(node: Any) -> TensorSpec:
    # The interface says [] of a scalar and of an input of any rank: ONNX Runtime itself tells them apart when it runs.
    shape = tuple(d if isinstance(d, int) and d >= 0 else -1 for d in node.shape) or None
    return TensorSpec(node.name, _DATATYPES[node.type], shape)


def _is_out_of_memory(error: Exception) -> bool:
    return isinstance(error, MemoryError) or any(sign in str(error) for sign in _NO_MEMORY)
