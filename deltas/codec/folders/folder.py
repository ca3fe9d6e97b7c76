"""Deltas of folders: an archive of the files' deltas. A file that did not change is a line in its index."""

import os
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from modelcast.deltas.codec.apply_file import apply_file
from modelcast.deltas.codec.container import Frame, Index, decode_index, digest_text, sha256_of_view
from modelcast.deltas.codec.errors import BadDelta, WrongBase, WrongResult
from modelcast.deltas.codec.files import is_executable, make_executable, mapped, odd_kind, opened
from modelcast.deltas.codec.folders.index import Entry, Tree, check_fits, decode_tree, encode_tree, tree_digest
from modelcast.deltas.codec.info import DeltaInfo, shares_of
from modelcast.deltas.codec.layouts.detection import layouts_of
from modelcast.deltas.codec.layouts.tensors import Layout, sizes_of
from modelcast.deltas.codec.make_file import Layouts, make_file
from modelcast.deltas.pairing.partners import FileTensors, partners
from modelcast.infra.files import folders_of, hidden_name, sync, sync_all, written_aside
from modelcast.schemas.digests import sha256_of_stream
from modelcast.schemas.errors import ContentError, UsageError
from modelcast.schemas.manifest import check_paths


@dataclass(frozen=True, slots=True)
class _Known:
    path: str
    size: int
    digest: str
    executable: bool


@dataclass(frozen=True, slots=True)
class _Listing:
    files: dict[str, Path]  # where they lie, by path in the folder, in order
    empty: tuple[str, ...]  # paths of folders in which there is nothing


def make_folder(
    old: Path | None, new: Path, out: BinaryIO, *, scratch: Path, threads: int | None, kernels: str | None
) -> DeltaInfo:
    """Write the delta of a folder.

    Args:
        scratch: a folder for what is written on the way, about as much as the delta.

    Raises:
        UsageError: it holds links or devices, or names that a manifest does not allow.
    """
    listed = (_listed(old) if old is not None else _Listing({}, ()), _listed(new))  # both, before anything is read
    before, after = ({path: _known(path, at) for path, at in each.files.items()} for each in listed)
    layouts = (layouts_of(old) if old is not None else {}, layouts_of(new))
    bases = _bases(before, after, layouts)
    entries: list[Entry] = []
    frames: list[Frame] = []
    with tempfile.TemporaryFile(dir=scratch) as deltas:
        for file in after.values():
            base, at = bases.get(file.path), deltas.tell()
            if base is None or base.digest != file.digest:
                known = (layouts[0].get(base.path) if base else None, layouts[1].get(file.path))
                index = _add(old, new, file, base, deltas, known, scratch, threads, kernels)
                frames += index.frames
            entries.append(
                Entry(
                    file.path,
                    file.size,
                    file.digest,
                    base.path if base else "",
                    base.size if base else 0,
                    base.digest if base else "",
                    deltas.tell() - at,
                    file.executable,
                )
            )
        tree = Tree(tuple(entries), listed[1].empty)
        start = encode_tree(tree)
        out.write(start)
        total = len(start) + deltas.tell()
        deltas.seek(0)
        shutil.copyfileobj(deltas, out, 1 << 20)
    return _info(tree, frames, total)


def _bases(
    before: dict[str, _Known], after: dict[str, _Known], layouts: tuple[dict[str, Layout], dict[str, Layout]]
) -> dict[str, _Known]:
    """What each new file is made of, by path."""
    held = (
        {path: FileTensors(f.size, f.digest, sizes_of(known.get(path))) for path, f in files.items()}
        for files, known in zip((before, after), layouts, strict=True)
    )
    old, new = held
    return {path: before[was] for path, was in partners(new, old).items()}


def _add(
    old: Path | None,
    new: Path,
    file: _Known,
    base: _Known | None,
    deltas: BinaryIO,
    layouts: Layouts,
    scratch: Path,
    threads: int | None,
    kernels: str | None,
) -> Index:
    against = old / base.path if old is not None and base is not None else None
    known = (bytes.fromhex(base.digest[7:]) if base else None, bytes.fromhex(file.digest[7:]))
    return make_file(
        against,
        new / file.path,
        deltas,
        scratch=scratch,
        threads=threads,
        kernels=kernels,
        digests=known,
        layouts=layouts,
    )


def apply_folder(
    old: Path | None,
    delta: memoryview,
    out: Path,
    *,
    expected_digest: str | None,
    expected_files: Mapping[str, str] | None,
    size_bytes_max: int | None,
    threads: int | None,
    kernels: str | None,
    subject: str = "",
) -> None:
    """Rebuild a folder beside ``out`` and rename it into place; see ``api.apply``."""
    try:
        tree, start = decode_tree(delta)
        entries = tree.entries
        if expected_digest is not None and tree.digest != expected_digest:
            raise WrongResult("this delta makes another folder than expected")
        if expected_files is not None and {e.path: e.digest for e in entries} != dict(expected_files):
            raise WrongResult("this delta makes other files than expected")
        if size_bytes_max is not None and sum(e.size for e in entries) > size_bytes_max:
            raise BadDelta(f"this delta makes more than the {size_bytes_max} bytes expected")
        if out.exists():
            raise UsageError("the folder to write is there already", subject=str(out), hint="name a new one")
        _check_bases(old, entries)
        aside = _aside(out)
        try:
            for entry in entries:
                target = aside / entry.path
                target.parent.mkdir(parents=True, exist_ok=True)
                _restore(old, entry, delta[start : start + entry.delta_size], target, threads, kernels)
                if entry.executable:
                    make_executable(target)
                start += entry.delta_size
            for path in tree.empty:
                (aside / path).mkdir(parents=True)
            aside.chmod(0o755)
            files, empty = [aside / e.path for e in entries], [aside / path for path in tree.empty]
            sync_all(aside, [*files, *empty, *folders_of(aside, [*files, *empty])])
            aside.rename(out)
            sync(out.parent)
        except BaseException:
            shutil.rmtree(aside, ignore_errors=True)
            raise
    except (BadDelta, WrongBase, WrongResult) as error:
        error.subject = error.subject or subject
        raise


def _aside(out: Path) -> Path:
    name = hidden_name(out.name, ".", 200)
    try:
        return Path(tempfile.mkdtemp(prefix=name, suffix=".partial", dir=out.parent))
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(out)) from None


def _check_bases(old: Path | None, entries: Iterable[Entry]) -> None:
    """The digest of every base, before anything is made."""
    for name, digest in {e.base: e.base_digest for e in entries if e.base}.items():
        path = old / name if old is not None else None
        if path is None or path.is_symlink() or not path.is_file():
            raise WrongBase(f"the base has no file {name!r}", hint="this delta was made against another folder")
        with mapped(path) as data:
            if digest_text(sha256_of_view(data)) != digest:
                raise WrongBase(
                    f"the base has another file {name!r}", hint="this delta was made against another folder"
                )


def _restore(
    old: Path | None, entry: Entry, delta: memoryview, target: Path, threads: int | None, kernels: str | None
) -> None:
    base = old / entry.base if old is not None and entry.base else None
    if entry.delta_size:
        apply_file(
            base,
            delta,
            target,
            expected_digest=entry.digest,
            size_bytes_max=entry.size,
            base_digest=entry.base_digest or None,
            threads=threads,
            kernels=kernels,
            subject=entry.path,
            durable=False,
        )
        return
    assert base is not None
    with opened(base) as source, written_aside(target, durable=False) as file:
        found = sha256_of_stream(source, entry.size, file.write)
    if found != entry.digest:
        raise WrongResult("a file of the base changed while it was copied", subject=entry.path)


def folder_info(delta: memoryview, *, subject: str = "") -> DeltaInfo:
    """What a folder's delta is.

    Raises:
        BadDelta: it is damaged.
    """
    try:
        tree, start = decode_tree(delta)
        frames: list[Frame] = []
        for entry in tree.entries:
            if entry.delta_size:
                frames += decode_index(delta[start : start + entry.delta_size]).frames
            start += entry.delta_size
    except BadDelta as error:
        error.subject = error.subject or subject
        raise
    return _info(tree, frames, len(delta))


def _info(tree: Tree, frames: list[Frame], total: int) -> DeltaInfo:
    entries = tree.entries
    bases = {e.base: e for e in entries if e.base}
    return DeltaInfo(
        kind="folder",
        base_digest=tree_digest({p: e.base_digest for p, e in bases.items()}) if bases else "",
        base_size_bytes=sum(e.base_size for e in bases.values()),
        new_digest=tree.digest,
        new_size_bytes=sum(e.size for e in entries),
        delta_size_bytes=total,
        files=len(entries),
        files_unchanged=sum(not e.delta_size for e in entries),
        methods=shares_of(frames),
    )


def _listed(folder: Path) -> _Listing:
    """What lies in a folder.

    Raises:
        UsageError: something is no plain file, has a name that no manifest allows, or there is too much.
    """
    found: list[Path] = []
    empty: list[str] = []
    for root, folders, files in os.walk(folder, onerror=_refuse):
        for name in [*folders, *files]:
            path = Path(root) / name
            if path.is_symlink():
                raise UsageError(
                    "this is a link, not a file", subject=str(path), hint="links are not followed: put the file there"
                )
            if kind := odd_kind(path):
                raise UsageError(f"this is {kind}, not a file", subject=str(path), hint="take it out of the folder")
        found += [Path(root) / name for name in files]
        if not folders and not files and Path(root) != folder:
            empty.append(Path(root).relative_to(folder).as_posix())
    names = {p.relative_to(folder).as_posix(): p for p in found}
    check_fits([*names, *empty], str(folder))
    for name in [*names, *empty]:
        try:
            check_paths([name])
        except ContentError:
            raise UsageError(
                f"a name that can't be carried: {name[:120]!r}",
                subject=str(folder),
                hint="rename it: at most 255 bytes, and no line breaks, control characters or backslashes",
            ) from None
    return _Listing({name: names[name] for name in sorted(names, key=str.encode)}, tuple(sorted(empty, key=str.encode)))


def _refuse(error: OSError) -> None:
    raise error  # a folder that can't be read would be left out


def _known(name: str, at: Path) -> _Known:
    with mapped(at) as data:
        return _Known(name, len(data), digest_text(sha256_of_view(data)), is_executable(at))
