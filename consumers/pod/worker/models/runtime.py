"""The port to what runs a model: arrays in, arrays out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from modelcast.consumers.pod.worker.tensors import Array


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """An input or output as V2 describes it."""

    name: str
    datatype: str  # a key of ``tensors.DTYPES``
    shape: tuple[int, ...] | None  # -1: of any size; None: of any rank

    @property
    def described(self) -> dict[str, Any]:
        """The tensor as V2's metadata has it, which can't express *of any rank*."""
        return {"name": self.name, "datatype": self.datatype, "shape": list(self.shape or ())}

    def takes(self, shape: tuple[int, ...]) -> bool:
        """Whether an array of that shape fits."""
        if self.shape is None or self.shape == shape:
            return True
        if len(shape) != len(self.shape):
            return False
        for declared, given in zip(self.shape, shape, strict=True):
            if declared != -1 and declared != given:  # noqa: PLR1714
                return False
        return True


class Runtime(Protocol):
    """One loaded model. ``run`` may be called from several threads at once."""

    @property
    def platform(self) -> str:
        """What V2's metadata calls the platform."""
        ...

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """The inputs that each request must give."""
        ...

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """The outputs that a request may ask for."""
        ...

    def run(self, wanted: Sequence[str], feed: Mapping[str, Array]) -> list[Array]:
        """The wanted outputs. Elements of BYTES are ``bytes``, in and out.

        Raises:
            BadRequest: the inputs do not fit the model.
            MemoryError: they need more memory than there is.
        """
        ...
