"""One version as a worker serves it: its models, opened from a verified folder, warmed up and compared."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from modelcast.consumers.pod.engine import NotLoadable
from modelcast.consumers.pod.environment import environment_code_of
from modelcast.consumers.pod.sample import SAMPLE_FILE, SAMPLE_SIZE_MAX, RecordedSample, answer_difference, read_samples
from modelcast.consumers.pod.worker.frames import ALL_JSON
from modelcast.consumers.pod.worker.models.entry_points import EntryPointRuntime
from modelcast.consumers.pod.worker.models.layout import WHOLE, CustomModel, OnnxFiles, find_models
from modelcast.consumers.pod.worker.models.onnx import OnnxRuntime
from modelcast.consumers.pod.worker.models.runtime import Runtime
from modelcast.consumers.pod.worker.models.v2_model import V2Model, error_body
from modelcast.consumers.pod.worker.tensors import BadRequest
from modelcast.consumers.pod_clients.port import LoadFailed

_SMALL_FILE_MAX = 1024 * 1024


class VersionFiles:
    """What a folder holds to be served.

    Attributes:
        size_bytes: what has to be read, at least.
    """

    def __init__(self, folder: Path) -> None:
        """Find the models, without loading anything.

        Raises:
            NotLoadable, Unsupported: see ``find_models``.
        """
        self.folder = folder
        self.sizes = _sizes(folder)
        self.models = find_models(self.sizes, self.read)
        self.size_bytes = self.models.size_bytes(self.sizes)

    def read(self, path: str, size_max: int = _SMALL_FILE_MAX) -> bytes:
        """A small file of the artifact. Raises ``NotLoadable`` if it is not small."""
        if self.sizes[path] > size_max:
            raise NotLoadable(f"more than {size_max} bytes", subject=path)
        return (self.folder / path).read_bytes()


class LoadedVersion:
    """The models of one version by part; most have one, ``WHOLE``.

    Attributes:
        parts: their names; a request names its part by the place here.
        metadata: V2's, of the whole; below ``parts`` stands that of each.
    """

    def __init__(self, files: VersionFiles, *, model: str, version: int, intra_op_threads: int) -> None:
        """Load the version.

        Raises:
            NotLoadable, Unsupported, LoadFailed, MemoryError: see the runtimes.
        """
        self._model = model
        runtimes = _runtimes(files.folder, files.models, intra_op_threads)
        names = {part: f"{model}/{part}" if part else model for part in runtimes}
        models = {part: V2Model(runtime, name=names[part], version=version) for part, runtime in runtimes.items()}
        self.parts = tuple(models)
        self._models = tuple(models.values())
        nothing = {"name": model, "versions": [str(version)], "platform": "", "inputs": [], "outputs": []}
        named = {part: found.metadata for part, found in models.items() if part}
        self.metadata: dict[str, Any] = models[WHOLE].metadata if WHOLE in models else nothing
        if named:
            self.metadata = {**self.metadata, "parts": named}
        self._samples = read_samples(files.read(SAMPLE_FILE, SAMPLE_SIZE_MAX)) if SAMPLE_FILE in files.sizes else ()

    def warm_up(self) -> None:
        """Answer the recorded samples, and compare; a model without one runs once on zeros.

        Raises:
            NotLoadable: an answer is not the recorded one; it is said how.
            LoadFailed, MemoryError: there is none for want of what this machine lacks.
        """
        sampled = {sample.part for sample in self._samples}
        for part, model in zip(self.parts, self._models, strict=True):
            if part not in sampled:
                model.warm_up()
        for sample in self._samples:
            self._try(sample)

    def _try(self, sample: RecordedSample) -> None:
        if sample.part not in self.parts:
            raise NotLoadable(f"a sample is for {sample.part!r}; {self._served}", subject=SAMPLE_FILE)
        model = self._models[self.parts.index(sample.part)]
        try:
            answer = model.answer(sample.request)
        except BadRequest as error:
            difference = f"it is refused: {error.message}"
        except MemoryError:
            raise
        except Exception as error:
            difference = f"it is refused: {type(error).__name__}: {str(error)[:1000]}"
            if code := environment_code_of(error):
                raise LoadFailed(f"the recorded sample: {difference}", code=code, subject=model.name) from None
        else:
            difference = answer_difference(sample, answer)
        if difference:
            raise NotLoadable(f"the recorded sample is answered otherwise: {difference}", subject=model.name)

    def infer(self, part: int, body: bytes, json_size_bytes: int, looks: bool = False) -> tuple[int, int, bytes]:
        """See ``V2Model.infer``; ``part`` is a place in ``parts``."""
        if part >= len(self._models):
            return 404, ALL_JSON, error_body(f"{self._model!r} names no model by itself: {self._served}")
        return self._models[part].infer(body, json_size_bytes, looks)

    @property
    def _served(self) -> str:
        return "served here: " + ", ".join(sorted(model.name for model in self._models))


def _runtimes(folder: Path, models: OnnxFiles | CustomModel, intra_op_threads: int) -> dict[str, Runtime]:
    if isinstance(models, CustomModel):
        return {WHOLE: EntryPointRuntime(folder, models)}
    by_path: dict[str, Runtime] = {}
    for path in models.files.values():
        if path not in by_path:
            by_path[path] = OnnxRuntime(folder / path, name=path, intra_op_threads=intra_op_threads)
    return {part: by_path[path] for part, path in models.files.items()}


def _sizes(folder: Path) -> Mapping[str, int]:
    return {
        (Path(parent) / name).relative_to(folder).as_posix(): (Path(parent) / name).stat().st_size
        for parent, _, names in os.walk(folder)
        for name in names
    }
