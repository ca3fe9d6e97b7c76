"""A file or a folder on disk, read once into a manifest.

What is left out is named, and what can't be carried is refused by name. Symbolic links are followed as long as they
stay inside the folder, or in the cache of Hugging Face that it is a part of.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from modelcast.producers.artifact.file_names import check_names
from modelcast.producers.artifact.formats import unknown_of
from modelcast.producers.artifact.ignoring import BY_DEFAULT, IGNORE_FILE
from modelcast.producers.artifact.missing_parts import INDEX_SIZE_MAX, check_parts
from modelcast.producers.artifact.onnx_data import check_external_data
from modelcast.producers.artifact.pickle_opinion import second_opinion
from modelcast.producers.artifact.reading import LocalFile, read_all
from modelcast.producers.artifact.unfinished import check_finished
from modelcast.producers.artifact.walk import Found, Walk, reason, regular, unreadable
from modelcast.producers.progress import PublishProgress
from modelcast.schemas.errors import Refused, UsageError
from modelcast.schemas.manifest import FILES_MAX, Manifest

HASH_THREADS = 4
SHOWN_MAX = 20


@dataclass(frozen=True, slots=True)
class Artifact:
    """What was found on disk.

    Attributes:
        left_out: paths that are ignored, with the reason.
        notes: for people: what is left out, what a manifest can't hold, names that may make trouble.
        unknown: paths of files of no format that is known: see ``check_known``.
    """

    manifest: Manifest
    encoded: bytes
    digest: str
    files: tuple[LocalFile, ...]
    left_out: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()


def scan(
    path: Path,
    *,
    allow_pickle: bool = False,
    threads: int = HASH_THREADS,
    progress: PublishProgress | None = None,
) -> Artifact:
    """Read what is to be published.

    Args:
        path: a file, or a folder with all that is in it but what is ignored.
        allow_pickle: pickles run code when they are loaded; they are refused unless this is set.
        threads: files hashed at once.
        progress: called with how many bytes there are, and how many have been read.

    Raises:
        UsageError: there is nothing at ``path``.
        Refused: empty; a link that leaves the folder; unreadable, or changing while it is read; a socket, pipe or
            device; a pickle that is not allowed, or dangerous; a name that can't be carried; a model that is not all
            there.
    """
    root = located(path)
    walk = Walk(root) if root.is_dir() else None
    found = walk.files() if walk else [regular(path.name, root, root.stat())]
    left_out, empty = (walk.left_out, walk.empty) if walk else ([], [])
    _check_number(path, found, left_out)
    names = [f.name for f in found]
    remarks = check_names(names)
    check_finished(names)
    if progress:
        progress.step("scan", sum(f.size_bytes for f in found))
    files = read_all(found, threads, progress.advance if progress else _nobody)
    if not allow_pickle and (pickled := next((f for f in files if f.pickled), None)):
        raise Refused(
            pickled.pickled or "",
            subject=str(pickled.path),
            hint="loading it runs its author's code; export to ONNX or safetensors, or --allow-pickle",
        )
    remarks += tuple(second_opinion(files))
    remarks += tuple(_check_together(files))
    manifest = Manifest(tuple(f.entry for f in files), framework_of(files))
    encoded = manifest.encode()
    notes = (*_left_out_note(left_out), *empty, *remarks)
    digest = "sha256:" + hashlib.sha256(encoded).hexdigest()
    formats = {f.entry.path: f.format for f in files}
    unknown = unknown_of(formats, {f.entry.path: f.external for f in files if f.external})
    return Artifact(manifest, encoded, digest, tuple(files), tuple(left_out), notes, unknown)


def located(path: Path) -> Path:
    """Where a file or folder really is.

    Raises:
        UsageError: there is none.
    """
    try:
        return path.resolve(strict=True)
    except (OSError, RuntimeError) as error:
        missing = isinstance(error, FileNotFoundError | NotADirectoryError)
        message = "no such file or folder" if missing else f"can't be read: {reason(error)}"
        raise UsageError(message, subject=str(path), hint="check its path") from None


def framework_of(files: Sequence[LocalFile]) -> str:
    """What made the files: onnx, safetensors, tensorflow, torch, pickle or unknown."""
    names = [f.entry.path.lower() for f in files]
    for ending, framework in ((".onnx", "onnx"), (".safetensors", "safetensors"), ("saved_model.pb", "tensorflow")):
        if any(name.endswith(ending) for name in names):
            return framework
    if any(f.pickled for f in files):
        torch = any(name.endswith((".pt", ".pth")) for name in names)
        return "torch" if torch else "pickle"
    return "unknown"


def _check_number(path: Path, found: Sequence[Found], left_out: Sequence[str]) -> None:
    if len(found) > FILES_MAX:
        raise Refused(f"{len(found)} files", subject=str(path), hint=f"at most {FILES_MAX}; pack them")
    if found:
        return
    if left_out:
        raise Refused(
            f"everything in it is left out: {_some(left_out)}",
            subject=str(path),
            hint=f"write `!NAME` into its {IGNORE_FILE} for what is to be published",
        )
    raise Refused("no files in it", subject=str(path), hint="publish a file, or a folder that holds some")


def _check_together(files: Sequence[LocalFile]) -> list[str]:
    by_name = {f.entry.path: f for f in files}
    sizes = {name: file.entry.size_bytes for name, file in by_name.items()}
    remarks = check_parts(sizes, lambda name: _content(by_name[name]))
    for name, file in by_name.items():
        check_external_data(name, file.external, sizes)
    return remarks


def _content(file: LocalFile) -> bytes:
    if file.content is not None:
        return file.content
    try:
        with file.path.open("rb") as stream:
            return stream.read(INDEX_SIZE_MAX + 1)
    except OSError as error:
        raise unreadable(error, file.path) from None


def _left_out_note(left_out: Sequence[str]) -> list[str]:
    """What is left out, and how it can be carried."""
    if not left_out:
        return []
    kept = any(what.endswith(f"({BY_DEFAULT})") and not what.startswith(IGNORE_FILE) for what in left_out)
    how = f"; a line `!NAME` in {IGNORE_FILE} carries it" if kept else ""
    return [f"left out: {_some(left_out)}{how}"]


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN_MAX} more" if len(names) > SHOWN_MAX else ""
    return ", ".join(names[:SHOWN_MAX]) + more


def _nobody(_done_bytes: int) -> None:
    """A progress that shows nothing."""
