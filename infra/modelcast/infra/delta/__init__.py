"""Deltas between two versions of a file or folder. See FORMAT.md for the container.

make(old, new, out)        the delta that makes ``new`` of ``old``
apply(old, delta, out)     rebuilds, verifies, then renames into place
info(delta)                what it is, read from its index
"""

from modelcast.infra.delta.api import apply, info, make
from modelcast.infra.delta.errors import BadDelta, WrongBase, WrongResult
from modelcast.infra.delta.info import DeltaInfo, MethodShare

__all__ = ["BadDelta", "DeltaInfo", "MethodShare", "WrongBase", "WrongResult", "apply", "info", "make"]
