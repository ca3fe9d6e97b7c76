"""MLServer: ``<model>/<version>/…`` beside ``<model>/model-settings.json``, which is written last.

The settings name no ``version``: MLServer makes a new version the default before it is loaded and fails every request
until then; without one it loads the new model beside the old. Which version is in memory stands in ``platform``, free
text that MLServer repeats from the settings of what it has loaded.

Hints: ``modelcast/mlserver.json`` holds model settings (``implementation``, ``parameters``, …), else the artifact's own
``model-settings.json`` counts; where neither names an ``implementation``, the file's name says which runtime it is for.
"""

from collections.abc import Collection, Mapping
from pathlib import PurePosixPath
from typing import Any

from modelcast.consumers.companion.layouts.version_layout import (
    HINTS_FOLDER,
    Files,
    ReadFile,
    VersionLayout,
    folder_of,
    places_of,
    read_hint,
    unsupported,
)
from modelcast.consumers.pod.engine import NotLoadable, Unsupported
from modelcast.consumers.pod_clients.port import LoadOrder
from modelcast.schemas.digests import DIGEST_PATTERN

SETTINGS_FILE = "model-settings.json"
_MARK = "modelcast"
_SUBJECT = "model settings"
_PATHS = ("uri", "environment_tarball")
"""Parameters that MLServer reads as paths, from beside the settings; absolute ones are the server's own."""
_BY_NAME = {
    "model.joblib": "mlserver_sklearn.SKLearnModel",
    "model.pkl": "mlserver_sklearn.SKLearnModel",
    "model.ubj": "mlserver_xgboost.XGBoostModel",
    "model.bst": "mlserver_xgboost.XGBoostModel",
    "model.cbm": "mlserver_catboost.CatboostModel",
    "MLmodel": "mlserver_mlflow.MLflowRuntime",
}


def mlserver_layout(files: Files, order: LoadOrder, read: ReadFile) -> VersionLayout:
    """Where the files go; ``settings`` is what model-settings.json must say.

    Raises:
        NotLoadable: a hint is damaged.
        Unsupported: nothing says which runtime is to load it, or its settings name what the artifact lacks.
    """
    settings = read_hint(files, f"{HINTS_FOLDER}mlserver.json", read)
    if settings is None:
        settings = read_hint(files, SETTINGS_FILE, read)
    if settings is None or "implementation" not in settings:
        settings = {**_by_name(files), **(settings or {})}
    parameters = settings.get("parameters", {})
    if not isinstance(parameters, Mapping) or not isinstance(settings["implementation"], str):
        raise NotLoadable('needs a text "implementation", and an object "parameters" if any', subject=_SUBJECT)
    # MLServer takes every file of that name, however deep, for the settings of one more model.
    places = places_of(files, without_named=SETTINGS_FILE)
    folder, placed = folder_of(order.version), {place.path for place in places}
    paths = {"uri": f"./{folder}"}
    for name in _PATHS:
        if isinstance(value := parameters.get(name), str) and not value.startswith("/"):
            inside = _inside(name, value, placed)
            paths[name] = f"./{folder}/{inside}".removesuffix("/.")
    kept = {name: value for name, value in parameters.items() if name != "version"}
    settings |= {
        "name": order.model,
        "platform": f"{_MARK} {order.manifest_digest} {order.version}",
        "parameters": {**kept, **paths},
    }
    return VersionLayout(folder, places, settings)


def _by_name(files: Files) -> dict[str, Any]:
    for file, implementation in _BY_NAME.items():
        if file in files:
            return {"implementation": implementation, "parameters": {"uri": f"./{file}" if "." in file else "."}}
    raise unsupported("mlserver", files, " or ".join(_BY_NAME))


def _inside(name: str, value: str, placed: Collection[str]) -> str:
    """What a parameter names, below the version's folder. Raises ``Unsupported``: it lies elsewhere."""
    path = PurePosixPath(value)
    if "://" in value or ".." in path.parts:
        what = "leaves the artifact"
    elif str(path) == "." or str(path) in placed or any(each.startswith(f"{path}/") for each in placed):
        return str(path)
    else:
        what = "names nothing that the artifact holds"
    hint = f"publish it with that file and a {HINTS_FOLDER}mlserver.json that names it"
    raise Unsupported(f"{name} {value!r} {what}", subject=_SUBJECT, hint=hint)


def settings_elsewhere(layout: VersionLayout, name: str, base: str) -> Mapping[str, Any]:
    """The settings that load the same files as a model ``name``, whose folder sees the version's folder in ``base``."""
    parameters = layout.settings["parameters"]
    paths = {
        key: base + value.removeprefix(".")
        for key in _PATHS
        if (value := str(parameters.get(key, ""))).startswith("./")
    }
    return {**layout.settings, "name": name, "parameters": {**parameters, **paths}}


def served_in(platform: object) -> tuple[int, str] | None:
    """The (version, manifest digest) that a loaded model's ``platform`` names; None: it is none of ours."""
    words = platform.split() if isinstance(platform, str) else []
    if len(words) != 3 or words[0] != _MARK or not DIGEST_PATTERN.fullmatch(words[1]) or not words[2].isdecimal():
        return None
    return int(words[2]), words[1]
