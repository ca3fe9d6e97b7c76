"""Whether versions can cross as deltas here."""

from importlib.util import find_spec

from modelcast.infra.accelerators import EXTRA_MODULES


def deltas_installed() -> bool:
    """Whether the accelerator that makes and applies deltas is here, with the libraries that it needs."""
    return all(find_spec(name) is not None for name in ("modelcast.deltas", *EXTRA_MODULES))
