"""Models of which a part is missing: shards, a checkpoint's data, weights beside a graph, what a pointer names.

Published, they would reach every region, and be quarantined there.
"""

import posixpath
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import PurePosixPath

import orjson

from modelcast.producers.artifact.unfinished import MODEL_ENDINGS
from modelcast.schemas.errors import Refused

INDEX_SIZE_MAX = 64 * 1024**2
POINTER_SIZE_MAX = 64 * 1024
SHOWN_MAX = 5
Read = Callable[[str], bytes]
"""Gives the content of a small file by its path."""
_NUMBERED = (
    re.compile(r"(?P<before>.*[-_.])(?P<number>\d{5})(?P<of>-of-)(?P<total>\d{5})(?P<after>.*)", re.DOTALL),
    re.compile(r"(?P<before>.*-shard)(?P<number>\d{1,5})(?P<of>of)(?P<total>\d{1,5})(?P<after>.*)", re.DOTALL),
)
_INDEX = re.compile(r"\.index(\.[\w-]+)?\.json$", re.IGNORECASE)
_SAFETENSORS_NAMES = {"pytorch_model": "model", "tf_model": "model", "flax_model": "model"}
"""What a model is called in safetensors that has another name in the framework's own files."""
_CHECKPOINT_DATA = re.compile(r"(.*)\.data-\d{5}-of-\d{5}", re.DOTALL)
_TABLE_END = bytes.fromhex("57fb808b247547db")
"""The last bytes of a TensorFlow checkpoint's index, which is a LevelDB table; other formats have files .index, too."""
_OPENVINO = re.compile(rb"\s*(<\?xml[^>]*>\s*)?(<!--.*?-->\s*)*<net\b[^>]*\bversion=", re.DOTALL)
_OPENVINO_WEIGHTS = re.compile(rb'<\w+\b[^>]*\boffset="(\d{1,18})"[^>]*\bsize="(\d{1,18})"')
_WEIGHTS_MANIFEST = b'"weightsManifest"'


def check_parts(sizes: Mapping[str, int], read: Read) -> list[str]:
    """Refuse a model of which some files are there and some are not.

    Args:
        sizes: of all files that are published, in bytes, by path.
        read: gives the content of a small one.

    Returns:
        What people should know: a list of shards that are not there, where the same model is, whole.

    Raises:
        Refused: the missing ones are named.
        OSError: the disk.
    """
    remarks = _check_lists(sizes, read)
    _check_numbered(sizes)
    _check_checkpoints_data(sizes)
    for name in sorted(sizes):
        if sizes[name] > INDEX_SIZE_MAX:
            continue
        match PurePosixPath(name).suffix.lower():
            case ".index":
                _check_checkpoint(name, sizes, read)
            case ".xml":
                _check_openvino(name, sizes, read)
            case ".json":
                _check_weights_manifest(name, sizes, read)
            case ".dvc":
                _check_dvc(name, sizes, read)
    return remarks


def _check_lists(sizes: Mapping[str, int], read: Read) -> list[str]:
    """Of files that list the shards of a model, as Hugging Face writes them."""
    lists = {name: _beside(name, _shards_of(read(name))) for name in sorted(sizes) if _INDEX.search(name)}
    whole = {name for name, shards in lists.items() if shards and shards <= sizes.keys()}
    remarks = []
    for name, shards in lists.items():
        missing = sorted(shards - sizes.keys())
        other = _same_in_safetensors(name, sizes, whole) if len(missing) == len(shards) else None
        if missing and other:
            remarks.append(f"{name} lists shards that are not there; {other}, beside it, is whole")
            continue
        _refuse_missing(name, "lists", missing)
    return remarks


def _same_in_safetensors(name: str, sizes: Mapping[str, int], whole: set[str]) -> str | None:
    """The file in which the model of an index is there as safetensors: all of it, or the list of its shards."""
    folder, _, last = name.rpartition("/")
    stem = last.partition(".")[0]
    if ".safetensors." in last.lower():
        return None
    names = [f"{known}.safetensors" for known in (stem, _SAFETENSORS_NAMES.get(stem)) if known]
    there = [file for file in names if posixpath.join(folder, file) in sizes]
    there += [f"{file}.index.json" for file in names if posixpath.join(folder, f"{file}.index.json") in whole]
    return next(iter(there), None)


def _check_numbered(names: Iterable[str]) -> None:
    sets: dict[tuple[str, str, str, str], set[str]] = {}
    for name in names:
        found = next((match for pattern in _NUMBERED if (match := pattern.fullmatch(name))), None)
        if found:
            sets.setdefault((found["before"], found["of"], found["total"], found["after"]), set()).add(found["number"])
    for (before, of, total, after), numbers in sorted(sets.items()):
        width, there = len(min(numbers, key=len)), {int(number) for number in numbers}
        first = 0 if 0 in there else 1
        wanted = range(first, int(total) + first)
        if not there <= set(wanted):
            continue
        missing = [f"{before}{n:0{width}}{of}{total}{after}" for n in wanted if n not in there]
        _refuse_missing(f"{before}{min(there):0{width}}{of}{total}{after}", "is one of", missing)


def _check_checkpoint(name: str, sizes: Mapping[str, int], read: Read) -> None:
    stem = name.removesuffix(".index")
    if any(found and found[1] == stem for found in map(_CHECKPOINT_DATA.fullmatch, sizes)):
        return
    if read(name).endswith(_TABLE_END):
        raise Refused(
            f"the index of a TensorFlow checkpoint, whose data is not there: {stem}.data-00000-of-…",
            subject=name,
            hint="publish the folder that holds both, or save the checkpoint again",
        )


def _check_checkpoints_data(sizes: Mapping[str, int]) -> None:
    for name in sorted(sizes):
        found = _CHECKPOINT_DATA.fullmatch(name)
        if found and f"{found[1]}.index" not in sizes:
            raise Refused(
                f"the data of a TensorFlow checkpoint, whose index is not there: {found[1]}.index",
                subject=name,
                hint="publish the folder that holds both, or save the checkpoint again",
            )


def _check_openvino(name: str, sizes: Mapping[str, int], read: Read) -> None:
    text = read(name)
    if not _OPENVINO.match(text):
        return
    end = max((int(offset) + int(size) for offset, size in _OPENVINO_WEIGHTS.findall(text)), default=0)
    weights = name[: -len(".xml")] + ".bin"
    if end and weights not in sizes:
        raise Refused(
            f"an OpenVINO model, whose weights are not there: {weights}",
            subject=name,
            hint="publish the folder that holds both, or convert the model again",
        )
    if sizes.get(weights, end) < end:
        raise Refused(
            f"its weights in {weights} are cut off: {sizes[weights]} bytes of at least {end}",
            subject=name,
            hint="convert or copy them again, to the end",
        )


def _check_weights_manifest(name: str, sizes: Mapping[str, int], read: Read) -> None:
    """Of a model for TensorFlow.js."""
    text = read(name)
    if _WEIGHTS_MANIFEST not in text:
        return
    shards = _beside(name, _paths_of(_json(text)))
    _refuse_missing(name, "lists", sorted(shards - sizes.keys()))


def _paths_of(model: object) -> Iterator[str]:
    groups = model.get("weightsManifest") if isinstance(model, Mapping) else None
    for group in groups if isinstance(groups, list) else []:
        paths = group.get("paths") if isinstance(group, Mapping) else None
        for path in paths if isinstance(paths, list) else []:
            if isinstance(path, str) and "://" not in path:
                yield path


def _check_dvc(name: str, sizes: Mapping[str, int], read: Read) -> None:
    """Refuse a pointer of DVC in place of a model; one to training data may lie beside the model that came of it."""
    if sizes[name] > POINTER_SIZE_MAX:
        return
    named = _beside(name, _outputs_of(read(name)))
    missing = sorted(path for path in named if not any(f == path or f.startswith(path + "/") for f in sizes))
    if not missing or (_any_model(sizes) and not _any_model(missing)):
        return
    raise Refused(
        f"a DVC pointer to what is not there: {_shown(missing)}",
        subject=name,
        hint="dvc pull, then publish again; or name it in .modelcastignore",
    )


def _outputs_of(pointer: bytes) -> Iterator[str]:
    import yaml  # few folders have such a file

    try:
        parsed = yaml.safe_load(pointer)
    except (yaml.YAMLError, RecursionError, ValueError):
        return
    outputs = parsed.get("outs") if isinstance(parsed, Mapping) else None
    folder = str(parsed.get("wdir") or "") if isinstance(parsed, Mapping) else ""
    for output in outputs if isinstance(outputs, list) else []:
        if isinstance(output, Mapping) and isinstance(output.get("path"), str):
            yield posixpath.join(folder, output["path"])


def _any_model(names: Iterable[str]) -> bool:
    return any(PurePosixPath(name).suffix.lower() in MODEL_ENDINGS for name in names)


def _beside(name: str, relative: Iterable[str]) -> set[str]:
    """Paths that a file gives as seen from its folder, as seen from the artifact's."""
    folder = posixpath.dirname(name)
    return {posixpath.normpath(posixpath.join(folder, path)) for path in relative}


def _shards_of(index: bytes) -> set[str]:
    parsed = _json(index)
    weights = parsed.get("weight_map") if isinstance(parsed, Mapping) else None
    return {shard for shard in weights.values() if isinstance(shard, str)} if isinstance(weights, Mapping) else set()


def _json(text: bytes) -> object:
    """What it says; None if it is too long, or no JSON."""
    if len(text) > INDEX_SIZE_MAX:
        return None
    try:
        return orjson.loads(text)
    except ValueError:
        return None


def _refuse_missing(name: str, how: str, missing: list[str]) -> None:
    if missing:
        raise Refused(
            f"{how} shards that are not there: {_shown(missing)}",
            subject=name,
            hint="download or save the model again; or take this file out, if nothing needs it",
        )


def _shown(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN_MAX} more" if len(names) > SHOWN_MAX else ""
    return ", ".join(names[:SHOWN_MAX]) + more
