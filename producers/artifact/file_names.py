"""Names that can be carried: to every store, region and pod, and on from there to other file systems."""

import unicodedata
from collections.abc import Callable, Iterable, Sequence
from pathlib import PurePosixPath

from modelcast.schemas.errors import ContentError, Refused
from modelcast.schemas.manifest import COMPONENT_BYTES_MAX, PATH_BYTES_MAX, check_paths


def check_names(names: Sequence[str]) -> tuple[str, ...]:
    """Make sure that files of these names can lie in one folder anywhere.

    Args:
        names: paths, relative, with slashes.

    Returns:
        What people should know of them: names that some file systems can't tell apart.

    Raises:
        Refused: one can't be carried, or two are the same text in other bytes.
    """
    for name in names:
        if why := _why_not(name):
            raise Refused(why, subject=repr(name[:200]), hint="rename it, or name it in .modelcastignore")
    every = {*names, *(str(folder) for name in names for folder in PurePosixPath(name).parents)}
    for same in _alike(every, lambda name: unicodedata.normalize("NFC", name)):
        shown = ", ".join(ascii(name) for name in same)
        raise Refused(f"the same name in two forms of Unicode: {shown}", subject=same[0], hint="keep one of them")
    try:
        check_paths(list(names))
    except ContentError as error:
        raise Refused(error.message, subject=error.subject, hint="rename it") from None
    return tuple(
        f"{' and '.join(map(escaped_name, same))} are one file where file systems ignore case (macOS, Windows)"
        for same in _alike(every, str.casefold)
    )


def escaped_name(name: str) -> str:
    """A name as it can be shown on any terminal and in any JSON: what is no text or moves the cursor is escaped."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in name)


def _why_not(name: str) -> str | None:
    try:
        encoded = name.encode()
    except UnicodeEncodeError:
        return "its name is no text in UTF-8"
    if "\\" in name:
        return "its name has a backslash"
    if any(unicodedata.category(c) == "Cc" for c in name):
        return "its name has a control character (a newline, say)"
    if len(encoded) > PATH_BYTES_MAX:
        return f"its path has {len(encoded)} bytes, at most {PATH_BYTES_MAX} can be carried"
    longest = max(map(len, encoded.split(b"/")))
    if longest > COMPONENT_BYTES_MAX:
        return f"a name in its path has {longest} bytes, at most {COMPONENT_BYTES_MAX} can be carried"
    return None


def _alike(names: Iterable[str], form: Callable[[str], str]) -> list[list[str]]:
    by_form: dict[str, list[str]] = {}
    for name in sorted(names):
        by_form.setdefault(form(name), []).append(name)
    return [same for same in by_form.values() if len(same) > 1]
