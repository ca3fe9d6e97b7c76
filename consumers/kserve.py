"""KServe's ModelServer with hot reload, for a program of one's own beside a companion of kind ``kserve``.

    from modelcast.consumers.kserve import ModelcastModel, serve_models

    class Fraud(ModelcastModel):
        def load(self) -> bool:
            self.session = onnxruntime.InferenceSession(self.folder / "model.onnx")
            return True

        def predict(self, payload, headers=None):
            ...

    serve_models(Fraud, "/mnt/models")

Needs ``kserve`` and nothing else of Modelcast's. A version is loaded on a thread beside the one that serves and takes
its place once it is whole; requests in flight end on the version that they began on. KServe's own repository loads
nothing and says that it did; this one does, and can be asked what serves: ``GET /modelcast/models/<name>``.
"""

import asyncio
import inspect
import json
import logging
from collections import defaultdict
from pathlib import Path
from typing import Any

import kserve
from kserve.model_server import app

logger = logging.getLogger("modelcast.kserve")

_VERSION_FILE = "modelcast.json"  # which version to load, as the companion wrote it last


class UnsupportedArtifact(Exception):
    """Raise it in ``load`` for files that your server is not made for: the version is not blamed."""


class ModelcastModel(kserve.Model):  # type: ignore[misc]
    """One version of one model: a ``kserve.Model`` that reads its files in ``load`` from ``folder``.

    What ``load`` raises is the version's failure reason; what served before goes on serving.

    Attributes:
        folder: the version's files, verified. Of this version alone; it may go once another version serves.
        version: its number.
        digest: of its manifest.
    """

    def __init__(self, name: str, folder: Path, version: int, digest: str) -> None:
        super().__init__(name)
        self.folder, self.version, self.digest = folder, version, digest


class ModelcastRepository(kserve.ModelRepository):  # type: ignore[misc]
    """Loads what a companion has placed.

    Args:
        model: makes a version.
        models_dir: the companion's ``--repository``.
    """

    def __init__(self, model: type[ModelcastModel], models_dir: Path | str) -> None:
        super().__init__(str(models_dir))
        self._model = model
        self._folder = Path(models_dir)
        self._loading: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def load(self, name: str) -> bool:
        """Load what lies on disk, then replace what serves. Raises what the model raises, or ``RuntimeError``.

        One at a time: a slow load that a newer one has overtaken would put its version back.
        """
        async with self._loading[name]:
            made = await asyncio.to_thread(self._placed, name)
            loaded = await made.load() if inspect.iscoroutinefunction(made.load) else await asyncio.to_thread(made.load)
            if loaded is False:
                raise RuntimeError("load() returned False")
            made.ready = True
            self.update(made)
            logger.info("serving %s version %d", name, made.version)
            return True

    async def restore(self) -> None:
        """At start: load what served last. A version that can't be loaded is logged; the companion orders it again."""
        for file in sorted(self._folder.glob(f"*/{_VERSION_FILE}")):
            try:
                await self.load(file.parent.name)
            except Exception:
                logger.exception("not loaded at start: %s", file.parent.name)

    def in_memory(self, name: str) -> dict[str, Any]:
        """What serves under a name: version and digest; {} if nothing does."""
        model = self.models.get(name)
        return {"version": model.version, "digest": model.digest} if isinstance(model, ModelcastModel) else {}

    def _placed(self, name: str) -> ModelcastModel:
        folder = self._folder / name
        settings = json.loads((folder / _VERSION_FILE).read_bytes())
        return self._model(name, folder / settings["folder"], settings["version"], settings["digest"])


def serve_models(model: type[ModelcastModel], models_dir: Path | str = "/mnt/models", **options: Any) -> None:
    """Serve until SIGTERM, one process: what one of several had loaded, the others would not have.

    Args:
        model: makes a version of a model.
        models_dir: the companion's ``--repository``.
        options: of ``kserve.ModelServer`` (``http_port``, ``enable_grpc`` …).

    Raises:
        ValueError: more than one worker is asked for.
    """
    if options.get("workers", 1) != 1:
        raise ValueError("workers must be 1: a load reaches one process; run several servers, a companion beside each")
    repository = ModelcastRepository(model, models_dir)
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)  # KServe expects the main thread to have one
    loop.run_until_complete(repository.restore())
    app.add_api_route("/modelcast/models/{name}", repository.in_memory, methods=["GET"])
    kserve.ModelServer(registered_models=repository, workers=1, **options).start([])
