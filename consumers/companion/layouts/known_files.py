"""Servers that know their files by name: a SavedModel, a TorchServe archive, weights in Hugging Face's layout."""

from pathlib import PurePosixPath

from modelcast.consumers.companion.layouts.version_layout import (
    Files,
    Place,
    VersionLayout,
    folder_of,
    places_of,
    unsupported,
)
from modelcast.consumers.pod_clients.port import LoadOrder


def saved_model_layout(files: Files, order: LoadOrder) -> VersionLayout:
    """TensorFlow Serving: ``<model>/<version>/saved_model.pb`` …. Raises ``Unsupported``."""
    places = places_of(files)
    tops = {PurePosixPath(place.path).parts[0] for place in places}
    if len(tops) == 1 and (top := next(iter(tops))).isdecimal():  # exported as TensorFlow does, below its own number
        places = tuple(Place(str(PurePosixPath(p.path).relative_to(top)), p.source) for p in places)
    if not {place.path for place in places} & {"saved_model.pb", "saved_model.pbtxt"}:
        raise unsupported("tensorflow", files, "saved_model.pb")
    return VersionLayout(folder_of(order.version), places)


def archive_layout(files: Files, order: LoadOrder) -> VersionLayout:
    """TorchServe: the one ``.mar``, under a name of its own: its store is one flat folder. Raises ``Unsupported``."""
    archives = [path for path in sorted(files) if path.endswith(".mar")]
    if len(archives) != 1:
        raise unsupported("torchserve", files, "one .mar")
    return VersionLayout(folder_of(order.version), (Place(f"{order.model}-{order.version}.mar", archives[0]),))


def weights_layout(files: Files, order: LoadOrder) -> VersionLayout:
    """SGLang: ``config.json`` beside safetensors. Raises ``Unsupported``."""
    if "config.json" not in files or not any(path.endswith(".safetensors") for path in files):
        raise unsupported("sglang", files, "config.json and safetensors")
    return VersionLayout(folder_of(order.version), places_of(files))


def adapter_layout(files: Files, order: LoadOrder) -> VersionLayout:
    """vLLM: a LoRA adapter as PEFT saves it. Raises ``Unsupported``."""
    if "adapter_config.json" not in files:
        raise unsupported("vllm", files, "adapter_config.json: weights of a whole model need a new server")
    return VersionLayout(folder_of(order.version), places_of(files))
