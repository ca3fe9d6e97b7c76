"""Runtimes of one's own: a function from a package that is installed beside the pod.

A package declares it in the entry-point group ``modelcast.runtimes``::

    [project.entry-points."modelcast.runtimes"]
    my-net = "my_package.serving:load"

``load(folder: pathlib.Path)`` gets the folder of the artifact's verified files (safetensors, say) and returns a
function from input arrays by name to output arrays by name. The artifact's ``modelcast/pod.json`` names the runtime,
and the inputs and outputs as V2 describes them::

    {"runtime": "my-net",
     "inputs":  [{"name": "x", "datatype": "FP32", "shape": [-1, 64]}],
     "outputs": [{"name": "y", "datatype": "FP32", "shape": [-1, 10]}]}

It is called in a worker process: a crash, a leak or a loop ends that process and no other. The function that it
returns may be called from several threads at once. Elements of BYTES are ``bytes``.
"""

from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

import numpy as np

from modelcast.consumers.pod.engine import NotLoadable, Unsupported
from modelcast.consumers.pod.environment import environment_code_of
from modelcast.consumers.pod.worker.models.layout import CustomModel
from modelcast.consumers.pod.worker.models.runtime import TensorSpec
from modelcast.consumers.pod.worker.tensors import DTYPES, Array
from modelcast.consumers.pod_clients.port import LoadFailed
from modelcast.schemas.errors import ModelcastError

GROUP = "modelcast.runtimes"
Run = Callable[[dict[str, Array]], Mapping[str, Array]]
"""What a runtime's ``load`` returns."""


class EntryPointRuntime:
    """See ``Runtime``."""

    def __init__(self, folder: Path, custom: CustomModel) -> None:
        """Have the runtime load the folder.

        Raises:
            Unsupported: it is not installed here.
            NotLoadable: its ``load`` refused the folder, or returned no function.
            LoadFailed: the reason lies outside the version; see its codes.
            MemoryError: as ``load`` raised it.
        """
        self.platform = f"modelcast_{custom.runtime}"
        self.inputs, self.outputs = custom.inputs, custom.outputs
        self._name = custom.runtime
        self._run = self._load(_entry(custom.runtime), folder)

    def _load(self, entry: EntryPoint, folder: Path) -> Run:
        try:
            load: Callable[[Path], Run] = entry.load()
        except Exception as error:
            message = f"{type(error).__name__}: {error}"
            raise Unsupported(f"the runtime {self._name!r} can't be imported here: {message[:500]}") from None
        try:
            run = load(folder)
        except (ModelcastError, MemoryError):
            raise
        except Exception as error:
            message = f"the runtime {self._name!r} can't load it: {f'{type(error).__name__}: {error}'[:500]}"
            if code := environment_code_of(error):
                raise LoadFailed(message, code=code) from None
            raise NotLoadable(message) from None
        if not callable(run):
            raise NotLoadable(f"the runtime {self._name!r} returned {type(run).__name__}, no function")
        return run

    def run(self, wanted: Sequence[str], feed: Mapping[str, Array]) -> list[Array]:
        """See ``Runtime.run``."""
        results = self._run(dict(feed))
        specs = {spec.name: spec for spec in self.outputs}
        return [_checked(specs[name], results[name]) for name in wanted]


def _checked(spec: TensorSpec, value: object) -> Array:
    array = np.asarray(value, DTYPES[spec.datatype])
    if not spec.takes(array.shape):
        raise ValueError(f"output {spec.name!r} has shape {list(array.shape)}, declared is {list(spec.shape or ())}")
    return array


def _entry(name: str) -> EntryPoint:
    found = entry_points(group=GROUP)
    for entry in found:
        if entry.name == name:
            return entry
    names = ", ".join(sorted(entry.name for entry in found)) or "none"
    raise Unsupported(
        f"no runtime {name!r} is installed beside this pod; there is: {names}",
        hint=f"install the package that declares it in the entry-point group {GROUP}",
    )
