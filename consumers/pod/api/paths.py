"""What a URL's path asks of a pod: pure. V2's paths, where a model may be followed by one of its parts."""

from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import unquote

from modelcast.consumers.pod_clients.port import CANDIDATE

_PATH_CHARACTERS_MAX = 1024


@dataclass(frozen=True, slots=True)
class PathTarget:
    """What a path asks for."""

    what: str  # a key of ``Routes``' table
    model: str = ""
    part: str = ""
    version: str | None = None
    lane: str = ""


_FIXED = {
    "/livez": PathTarget("live"),
    "/readyz": PathTarget("ready"),
    "/metrics": PathTarget("metrics"),
    "/v2": PathTarget("about"),
    "/v2/": PathTarget("about"),
    "/v2/health/live": PathTarget("live"),
    "/v2/health/ready": PathTarget("ready"),
    "/v2/repository/index": PathTarget("index"),
}


def read_path(raw: str) -> PathTarget | None:
    """What a request's target, as it stands in its first line, asks for; None: there is no such path."""
    return _read(raw) if len(raw) <= _PATH_CHARACTERS_MAX else None


@lru_cache(maxsize=1024)
def _read(raw: str) -> PathTarget | None:
    path = unquote(raw.partition("?")[0])
    if "://" in path.split("/", 1)[0] + "//" and not path.startswith("/"):  # a proxy's absolute form
        path = "/" + path.partition("://")[2].partition("/")[2]
    if (fixed := _FIXED.get(path)) is not None:
        return fixed
    match path.split("/"):
        case ["", "v2", "repository", "models", model, "load" | "unload" as what] if model:
            return PathTarget(what, model)
        case ["", "v2", "models", model, *rest] if model and "@" not in model:  # that would name a lane
            return _of_model(model, rest)
    return None


def _of_model(model: str, rest: list[str]) -> PathTarget | None:
    match rest:
        case [] | ["ready"] | ["infer"]:
            return PathTarget(_WHAT[rest[0] if rest else ""], model)
        case ["traffic"]:
            return PathTarget("traffic", model)
        case ["lanes", lane] if lane == CANDIDATE:
            return PathTarget("metadata", model, lane=lane)
        case ["versions", version, *last] if version and last in ([], ["ready"], ["infer"]):
            return PathTarget(_WHAT[last[0] if last else ""], model, version=version)
        case [part, *last] if part and part != "versions":
            found = _of_model(model, last) if last[:1] in ([], ["versions"], ["ready"], ["infer"]) else None
            return PathTarget(found.what, model, part, found.version) if found else None
    return None


_WHAT = {"": "metadata", "ready": "model_ready", "infer": "infer"}
