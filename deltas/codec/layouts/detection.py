"""The layouts of files: from what they hold, and for ONNX's external data from the models beside them."""

import posixpath
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

from modelcast.deltas.codec.layouts.onnx import OnnxTensor, onnx_tensors
from modelcast.deltas.codec.layouts.safetensors import safetensors_layout
from modelcast.deltas.codec.layouts.tensors import Layout, Tensor, layout
from modelcast.deltas.codec.pieces import Bytes, in_pieces

MODELS_MAX = 256  # .onnx files of one folder that are looked into


def layout_of_data(data: Bytes) -> Layout | None:
    """The layout of a file as its own bytes tell it; None: it is a file like any other."""
    return _seen(data)[0]


def layouts_of(folder: Path) -> dict[str, Layout]:
    """The layouts of all files of a folder that hold tensors, by path relative to it (with ``/``)."""
    paths = sorted(p for p in folder.rglob("*") if p.is_file() and not p.is_symlink())
    return layouts_among({path.relative_to(folder).as_posix(): path for path in paths})


def layouts_among(files: Mapping[str, Path], sizes: Mapping[str, int] | None = None) -> dict[str, Layout]:
    """The layouts of those files that hold tensors, by name.

    Args:
        files: where each lies, by its name in the artifact (with ``/``).
        sizes: in bytes, of all files of the artifact, where not all of them lie here: models tell of the others.
    """
    if sizes is None:
        sizes = {name: path.stat().st_size for name, path in files.items()}
    found = {}
    outside: defaultdict[str, list[OnnxTensor]] = defaultdict(list)
    models = 0
    for name, path in files.items():
        with in_pieces(path) as data:
            own, tensors = _seen(data)
        if own is not None:
            found[name] = own
        if name.endswith(".onnx") and models < MODELS_MAX:
            models += 1
            for tensor in tensors:
                if tensor.location:
                    outside[posixpath.normpath(posixpath.join(posixpath.dirname(name), tensor.location))].append(tensor)
    for name, beside in outside.items():
        if name not in sizes or name in found:  # a path that leaves the folder, or is not there, is none of its files
            continue
        placed = layout([_placed(t, sizes[name]) for t in beside], sizes[name])
        if placed is not None:
            found[name] = placed
    return found


def layout_of(path: Path, folder: Path | None = None) -> Layout | None:
    """The layout of one file; with the ``folder`` of its artifact, of ONNX's external data, too.

    Raises:
        NotFound: there is no such file.
    """
    with in_pieces(path) as data:
        found = layout_of_data(data)
    if found is None and folder is not None:
        return layouts_of(folder).get(path.relative_to(folder).as_posix())
    return found


def _seen(data: Bytes) -> tuple[Layout | None, tuple[OnnxTensor, ...]]:
    """A file's layout, and all tensors of which it tells if it is a model."""
    found = safetensors_layout(data)
    tensors = (onnx_tensors(data) or ()) if found is None else ()
    if tensors:
        found = layout([_placed(t, len(data)) for t in tensors if not t.location], len(data))
    return found, tensors


def _placed(tensor: OnnxTensor, size: int) -> Tensor:
    end = size if tensor.end is None else tensor.end
    return Tensor(tensor.name, tensor.dtype, tensor.kind, tensor.shape, tensor.start, end)
