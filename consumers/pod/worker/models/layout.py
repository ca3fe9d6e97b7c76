"""Which files of an artifact are its models: pure, from their paths and two small files.

An artifact says so itself in ``modelcast/pod.json``: ``{"models": {"encoder": "a/encoder.onnx", …}}`` (the index of
several files), ``{"model": "a/net.onnx"}`` (one file), or ``{"runtime": …}`` (see ``entry_points``). Without it the
layouts that people have are known: ``model.onnx``, Triton's (``config.pbtxt`` beside ``1/model.onnx``), Optimum's
(``onnx/model.onnx``, or ``encoder_model.onnx`` beside ``decoder_model.onnx``, with quantized variants), exactly one
``.onnx``. Several files that are left are parts, served as ``MODEL/PART``. Hidden files
(``._x.onnx``) count for nothing.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import orjson

from modelcast.consumers.pod.engine import NotLoadable, Unsupported
from modelcast.consumers.pod.worker.models.runtime import TensorSpec
from modelcast.consumers.pod.worker.tensors import DTYPES, RANK_MAX

HINTS_FOLDER = "modelcast/"
INDEX_FILE = f"{HINTS_FOLDER}pod.json"
WHOLE = ""
"""The part that answers for the model's own name."""
PARTS_MAX = 32
RESERVED = frozenset({"versions", "infer", "ready", "metadata", "config", "stats", "load", "unload"})
_PART = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
_VARIANTS = ("_quantized", "_fp16", "_int8", "_uint8", "_bnb4", "_q4", "_q4f16", "_optimized")
_FOREIGN = {".safetensors", ".pt", ".pth", ".h5", ".msgpack", ".gguf", ".ckpt", ".tflite", ".pb"}
_CONFIG = "config.pbtxt"

Files = Mapping[str, int]
"""The artifact's files: size in bytes by path."""
ReadFile = Callable[[str], bytes]


@dataclass(frozen=True, slots=True)
class OnnxFiles:
    """ONNX files by the part's name; ``WHOLE`` is the one that answers for the model's own name."""

    files: Mapping[str, str]

    def size_bytes(self, files: Files) -> int:
        """How many bytes have to be read, at least, as far as names tell: other variants and formats are not."""
        chosen = set(self.files.values())
        unread = tuple(path for path in files if path.endswith(".onnx") and path not in chosen)
        folders = {PurePosixPath(path).parent for path in chosen}
        return sum(
            size
            for path, size in files.items()
            if path in chosen
            or (
                not path.startswith(unread)
                and PurePosixPath(path).suffix not in _FOREIGN
                and not folders.isdisjoint(PurePosixPath(path).parents)
            )
        )


@dataclass(frozen=True, slots=True)
class CustomModel:
    """The whole folder, for a runtime of one's own."""

    runtime: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]

    def size_bytes(self, files: Files) -> int:
        """Everything may be read."""
        return sum(files.values())


def find_models(files: Files, read: ReadFile) -> OnnxFiles | CustomModel:
    """What the artifact holds for this pod.

    Raises:
        NotLoadable: its index or Triton configuration names what is not there, or is damaged; it is named.
        Unsupported: nothing that this pod serves.
    """
    visible = sorted(path for path in files if not _hidden(path) and not path.startswith(HINTS_FOLDER))
    if INDEX_FILE in files:
        return _indexed(_object(read(INDEX_FILE)), visible)
    onnx = [path for path in visible if path.endswith(".onnx")]
    configs = [path for path in visible if PurePosixPath(path).name == _CONFIG]
    if configs:
        found = {_folder(c): _of_triton(c, visible, read(c).decode("utf-8", "replace")) for c in configs}
        for name in found.keys() - {WHOLE} if len(found) > 1 else ():
            _check_part(name, _CONFIG)
    elif onnx and all(PurePosixPath(path).parts[0].isdecimal() for path in onnx):  # Triton's, without its configuration
        newest = max((PurePosixPath(path).parts[0] for path in onnx), key=int)
        found = _of_optimum([path for path in onnx if path.startswith(f"{newest}/")], f"{newest}/")
    else:
        found = _of_optimum(onnx)
    if not found:
        names = ", ".join(visible[:5]) or "none"
        raise Unsupported(
            f"this pod serves ONNX: an artifact needs model.onnx or another .onnx file, found: {names}",
            hint=f"name a runtime for it in {INDEX_FILE}, or run `modelcast run companion` beside its own server",
        )
    if len(found) > PARTS_MAX:
        raise Unsupported(f"{len(found)} .onnx files, at most {PARTS_MAX} are served; name them in {INDEX_FILE}")
    return OnnxFiles({WHOLE: next(iter(found.values()))} if len(found) == 1 else found)


def _hidden(path: str) -> bool:
    """What file managers and version control leave beside a model."""
    return any(part.startswith(".") or part == "__MACOSX" for part in PurePosixPath(path).parts)


# --- Triton's layout


def _of_triton(config: str, visible: list[str], text: str) -> str:
    """The ONNX file of the newest version beside a ``config.pbtxt``."""
    platform = re.search(r'^\s*(?:backend|platform)\s*:\s*"([^"]*)"', text, re.MULTILINE)
    if platform and not platform[1].startswith("onnxruntime"):
        raise Unsupported(
            f"it is for {platform[1]!r}, this pod serves ONNX", subject=config,
            hint="run `modelcast run companion --kind triton` beside a Triton",
        )  # fmt: skip
    named = re.search(r'^\s*default_model_filename\s*:\s*"([^"]*)"', text, re.MULTILINE)
    name = named[1] if named else "model.onnx"
    base = PurePosixPath(config).parent
    versions = {}
    for path in visible:
        inner = PurePosixPath(path)
        if inner.is_relative_to(base):
            top, *rest = inner.relative_to(base).parts
            if top.isdecimal() and "/".join(rest) == name:
                versions[int(top)] = path
    flat = str(base / name)
    if not versions and flat not in visible:
        raise NotLoadable(f"no {name} in a numbered folder beside it", subject=config)
    return versions[max(versions)] if versions else flat


def _folder(config: str) -> str:
    return PurePosixPath(config).parent.name or WHOLE


# --- Optimum's layout, and whatever else


def _of_optimum(onnx: list[str], base: str = "") -> dict[str, str]:
    for preferred in (f"{base}model.onnx", f"{base}onnx/model.onnx"):
        if preferred in onnx:
            return {WHOLE: preferred}
    plain = [path for path in onnx if not any(_stem_without(path, v) in onnx for v in _VARIANTS)]
    names = [_part_name(path) for path in plain]
    if len(set(names)) < len(names):  # the same name in several folders
        names = [PurePosixPath(path).with_suffix("").as_posix().replace("/", ".") for path in plain]
    for name, path in zip(names, plain, strict=True):
        if len(plain) > 1:
            _check_part(name, path)
    return dict(zip(names, plain, strict=True))


def _stem_without(path: str, variant: str) -> str | None:
    stem = path.removesuffix(".onnx")
    return stem.removesuffix(variant) + ".onnx" if stem.endswith(variant) else None


def _part_name(path: str) -> str:
    inner = PurePosixPath(path)
    return inner.parent.name if inner.stem == "model" and inner.parent.name else inner.stem


# --- an index


def _indexed(index: dict[str, Any], visible: list[str]) -> OnnxFiles | CustomModel:
    kinds = [kind for kind in ("models", "model", "runtime") if kind in index]
    if len(kinds) != 1:
        raise NotLoadable('needs one of "models", "model" and "runtime"', subject=INDEX_FILE)
    if "runtime" in index:
        if not isinstance(index["runtime"], str) or not _PART.fullmatch(index["runtime"]):
            raise NotLoadable('"runtime" must be the name of an entry point', subject=INDEX_FILE)
        return CustomModel(index["runtime"], _specs(index, "inputs"), _specs(index, "outputs"))
    named = {WHOLE: index["model"]} if "model" in index else index["models"]
    if not isinstance(named, dict) or not 1 <= len(named) <= PARTS_MAX:
        raise NotLoadable(f'"models" must name 1 to {PARTS_MAX} files', subject=INDEX_FILE)
    for name, path in named.items():
        if path not in visible:
            raise NotLoadable(f"names {path!r}, which the artifact does not hold", subject=INDEX_FILE)
        if name != WHOLE:
            _check_part(name, INDEX_FILE)
    default = index.get("default")
    if default is not None and (not isinstance(default, str) or default not in named):
        raise NotLoadable(f'"default" is {default!r}, which "models" does not name', subject=INDEX_FILE)
    return OnnxFiles({WHOLE: named[default], **named} if default is not None else named)


def _check_part(name: str, subject: str) -> None:
    if not _PART.fullmatch(name) or name in RESERVED:
        raise NotLoadable(
            f"{name[:120]!r} can't be the name of a part: letters, digits, '_', '.', '-', and none of V2's own words",
            subject=subject,
            hint=f"name the files in {INDEX_FILE}",
        )


def _specs(index: dict[str, Any], kind: str) -> tuple[TensorSpec, ...]:
    items = index.get(kind)
    if not isinstance(items, list) or not items:
        raise NotLoadable(f'"{kind}" must describe its tensors as V2 does', subject=INDEX_FILE)
    return tuple(_spec(item, kind) for item in items)


def _spec(item: object, kind: str) -> TensorSpec:
    if isinstance(item, dict):
        name, datatype, shape = item.get("name"), item.get("datatype"), item.get("shape")
        if isinstance(name, str) and name and datatype in DTYPES and _is_shape(shape):
            return TensorSpec(name, datatype, None if shape is None else tuple(shape))
    raise NotLoadable(f'"{kind}" holds {str(item)[:100]}, no name, datatype and shape of V2', subject=INDEX_FILE)


def _is_shape(shape: Any) -> bool:
    sizes: Iterable[object] = shape if isinstance(shape, list) else ()
    whole = all(isinstance(n, int) and not isinstance(n, bool) and n >= -1 for n in sizes)
    return shape is None or (isinstance(shape, list) and len(shape) <= RANK_MAX and whole)


def _object(body: bytes) -> dict[str, Any]:
    try:
        index = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise NotLoadable(f"not JSON: {error}", subject=INDEX_FILE) from None
    if not isinstance(index, dict):
        raise NotLoadable("not a JSON object", subject=INDEX_FILE)
    return index
