"""Triton: ``<model>/<version>/…`` and a configuration that travels with the load call.

Hints: ``modelcast/triton.json`` holds ``config``, a ModelConfig as JSON. Without it a ``config.pbtxt`` of the artifact
counts, in an artifact that is laid out as Triton wants it (``config.pbtxt`` beside one numeric folder) or flat; without
that the file's name says which backend it is for.
"""

from collections.abc import Callable, Mapping
from pathlib import PurePosixPath
from typing import Any

from modelcast.consumers.companion.layouts.version_layout import (
    HINTS_FOLDER,
    Files,
    Place,
    ReadFile,
    VersionLayout,
    folder_of,
    places_of,
    read_hint,
    unsupported,
)
from modelcast.consumers.pod.engine import NotLoadable, Unsupported
from modelcast.consumers.pod_clients.port import LoadOrder

CONFIG_FILE = "config.pbtxt"
DIGEST_PARAMETER = "modelcast_digest"
_BY_NAME = {
    "model.onnx": {"backend": "onnxruntime"},
    "model.py": {"backend": "python"},
    "model.plan": {"backend": "tensorrt"},
}

ParseConfig = Callable[[bytes], Mapping[str, Any]]
"""A ModelConfig in text format as JSON fields. Raises ``ValueError`` and ``Unsupported``."""


def triton_layout(files: Files, order: LoadOrder, read: ReadFile, parse_config: ParseConfig) -> VersionLayout:
    """Where the files go; ``settings`` is the whole ModelConfig that makes Triton serve this version and no other.

    Raises:
        NotLoadable: a hint is damaged.
        Unsupported: nothing says how Triton is to load it, or a hint says what the companion does not know.
    """
    places = _places(files)
    config = _config(files, {p.path for p in places}, read, parse_config)
    parameters = config.get("parameters")
    named = parameters if isinstance(parameters, Mapping) else {}
    settings = {
        **config,
        "name": order.model,
        "version_policy": {"specific": {"versions": [order.version]}},
        "parameters": {**named, DIGEST_PARAMETER: {"string_value": order.manifest_digest}},
    }
    program = str(PurePosixPath(str(settings.get("default_model_filename") or "model.py")))
    if settings.get("backend") == "python" and program not in {p.path for p in places}:
        # Triton 2.51 never answers such a load, and takes no other of that model until it restarts (server#8766).
        raise unsupported("triton", files, f"{program} for its python backend")
    return VersionLayout(folder_of(order.version), places, settings)


def _places(files: Files) -> tuple[Place, ...]:
    """The version's files: those of the artifact's one numeric folder where it is laid out as a Triton model.

    Raises:
        Unsupported: it holds more than that, as Triton's labels, data to warm up with, or versions.
    """
    places = places_of(files, without=frozenset({CONFIG_FILE}))
    if CONFIG_FILE not in files:
        return places
    beside = sorted({PurePosixPath(p.path).parts[0] for p in places})
    numbers = [top for top in beside if top.isdecimal()]
    if not numbers:
        return places
    if len(beside) > 1:
        others = ", ".join(top for top in beside if top != numbers[0])
        message = (
            f"beside {CONFIG_FILE} and folder {numbers[0]} it holds {others}; a companion places one version's folder"
        )
        raise Unsupported(message, hint=f"move what the model needs into folder {numbers[0]}, and leave out the rest")
    return tuple(Place(str(PurePosixPath(p.path).relative_to(numbers[0])), p.source) for p in places)


def _config(files: Files, paths: set[str], read: ReadFile, parse_config: ParseConfig) -> Mapping[str, Any]:
    name = f"{HINTS_FOLDER}triton.json"
    hint = read_hint(files, name, read)
    if hint is not None:
        config = hint.get("config")
        if not isinstance(config, dict):
            raise NotLoadable('needs an object "config"', subject=name)
        return config
    if CONFIG_FILE in files:
        try:
            return parse_config(read(CONFIG_FILE))
        except ValueError as error:
            raise NotLoadable(f"no ModelConfig: {error}", subject=CONFIG_FILE) from None
    for file, config in _BY_NAME.items():
        if file in paths:
            return config
    raise unsupported("triton", files, " or ".join(_BY_NAME))
