"""What a layout is made of, and what it is made from."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

import orjson

from modelcast.consumers.pod.engine import NotLoadable, Unsupported

HINTS_FOLDER = "modelcast/"
HINT_SIZE_MAX = 256 * 1024

Files = Mapping[str, int]
"""The artifact's files: size in bytes by path."""
ReadFile = Callable[[str], bytes]
"""The content of one of them."""


@dataclass(frozen=True, slots=True)
class Place:
    """One file of the version's folder."""

    path: str  # below that folder
    source: str  # the artifact's file of which it is a copy


@dataclass(frozen=True, slots=True)
class VersionLayout:
    """Where the files of one version go. The folder appears whole, by one rename; the settings follow."""

    folder: str  # below the model's own folder
    places: tuple[Place, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)  # what tells the server to load just this version


def folder_of(version: int) -> str:
    """What the folder of a version is called, in every layout."""
    return str(version)


def places_of(
    files: Files, *, without: frozenset[str] = frozenset(), without_named: str | None = None
) -> tuple[Place, ...]:
    """The artifact's files at their own paths, without our hints, ``without`` and, in any folder, ``without_named``."""
    return tuple(
        Place(p, p)
        for p in sorted(files)
        if not p.startswith(HINTS_FOLDER) and p not in without and PurePosixPath(p).name != without_named
    )


def read_hint(files: Files, name: str, read: ReadFile) -> dict[str, Any] | None:
    """The object in one of the artifact's JSON files; None: it has no such file.

    Raises:
        NotLoadable: it is no JSON object.
        Unsupported: it is larger than ``HINT_SIZE_MAX``.
    """
    if name not in files:
        return None
    if files[name] > HINT_SIZE_MAX:
        raise Unsupported(
            f"{files[name]} bytes, a companion reads at most {HINT_SIZE_MAX}", subject=name, hint="make it smaller"
        )
    try:
        hint = orjson.loads(read(name))
    except orjson.JSONDecodeError as error:
        raise NotLoadable(f"not JSON: {error}", subject=name) from None
    if not isinstance(hint, dict):
        raise NotLoadable("not a JSON object", subject=name)
    return hint


def unsupported(kind: str, files: Files, wanted: str) -> Unsupported:
    """This kind of server does not say how to load these files."""
    names = ", ".join(sorted(files)[:5])
    return Unsupported(
        f"{kind} needs {wanted}; the artifact holds {names}",
        hint=f"publish it with a {HINTS_FOLDER}{kind}.json that says how to load it",
    )
