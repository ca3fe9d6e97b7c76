"""Deltas between two versions of a file or folder. See FORMAT.md for the container.

make(old, new, out)        the delta that makes ``new`` of ``old``
apply(old, delta, out)     rebuilds, verifies, then renames into place
apply_arriving(...)        rebuilds a file in place while its delta still arrives
info(delta)                what it is, read from its index
layout_of(path, folder)    where a file's tensors lie: safetensors, ONNX, and ONNX's external data
sampled_ratio(...)         how large a delta would be
"""

from modelcast.deltas.codec.api import apply, info, make
from modelcast.deltas.codec.apply_file import apply_arriving
from modelcast.deltas.codec.cancelling import CancelCheck, never_cancelled
from modelcast.deltas.codec.errors import BadDelta, WrongBase, WrongResult
from modelcast.deltas.codec.info import DeltaInfo, MethodShare
from modelcast.deltas.codec.layouts.detection import layout_of, layouts_among, layouts_of
from modelcast.deltas.codec.layouts.tensors import Layout, sizes_of
from modelcast.deltas.codec.sampling import sampled_ratio

__all__ = [
    "BadDelta",
    "CancelCheck",
    "DeltaInfo",
    "Layout",
    "MethodShare",
    "WrongBase",
    "WrongResult",
    "apply",
    "apply_arriving",
    "info",
    "layout_of",
    "layouts_among",
    "layouts_of",
    "make",
    "never_cancelled",
    "sampled_ratio",
    "sizes_of",
]
