"""Whether deltas can be made and applied here, and what a command says that needs them where they can not."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec

from modelcast.infra.accelerators import EXTRA_MODULES, is_absent
from modelcast.schemas.errors import ModelcastError

PACKAGE = "modelcast.deltas"


def deltas_installed() -> bool:
    """Whether the accelerator that makes and applies deltas is here, with the libraries that it needs."""
    return all(map(_is_there, (PACKAGE, *EXTRA_MODULES)))


def _is_there(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # a finder that says so itself
        return False


@contextmanager
def needs_deltas() -> Iterator[None]:
    """Around the imports of a command that needs deltas.

    Raises:
        ModelcastError: deltas, or a library that they need, are not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if not is_absent(PACKAGE, missing):
            raise
        raise ModelcastError(
            f"this command needs {missing!r}, which is not installed", hint="pip install 'modelcast[delta]'"
        ) from error
