"""A second opinion on pickles that may be published: what they import, as picklescan judges it where it is installed.

It knows names that run commands; a list of such names can be got round, so that its silence proves nothing.
"""

import logging
from collections.abc import Sequence
from pathlib import Path

from modelcast.producers.artifact.archives import BLOCK, NotLookedInto, compression_of, may_be_tar
from modelcast.producers.artifact.reading import LocalFile
from modelcast.schemas.errors import Refused

SHOWN_MAX = 5
NOT_INSTALLED = "no second opinion on its pickles: pip install 'modelcast[pickle]' has picklescan look at them"


def second_opinion(files: Sequence[LocalFile]) -> list[str]:
    """Refuse pickles that import what runs commands.

    Args:
        files: of an artifact; those without a pickle are passed over.

    Returns:
        What people should know: that there is no second opinion, or of which file.

    Raises:
        Refused: one imports what picklescan calls dangerous; it is named with its imports.
    """
    pickled = [file for file in files if file.pickled]
    if not pickled:
        return []
    try:
        from picklescan.scanner import SafetyLevel, scan_file_path
    except ImportError:
        return [NOT_INSTALLED]
    logging.getLogger("picklescan").setLevel(logging.CRITICAL)  # what it finds is said here
    notes = []
    for file in pickled:
        try:
            found = scan_file_path(str(file.path))
        except Exception as error:  # of a file that it can't read it says so, in one way or another
            notes.append(f"{file.entry.path}: picklescan can't read it ({type(error).__name__})")
            continue
        bad = sorted({f"{g.module}.{g.name}" for g in found.globals if g.safety == SafetyLevel.Dangerous})
        if bad:
            more = f" and {len(bad) - SHOWN_MAX} more" if len(bad) > SHOWN_MAX else ""
            raise Refused(
                f"a pickle that imports {', '.join(bad[:SHOWN_MAX])}{more}: loading it runs commands",
                subject=str(file.path),
                hint="export to ONNX or safetensors; --allow-pickle does not cover it",
            )
        if found.scan_err or not found.scanned_files or _is_packed(file.path):
            notes.append(f"{file.entry.path}: picklescan can't read it, so that there is no second opinion on it")
    return notes


def _is_packed(path: Path) -> bool:
    """Whether its pickle lies where picklescan does not look, without a word: compressed as a whole, or in a tar."""
    with path.open("rb") as stream:
        head = stream.read(BLOCK)
    try:
        return compression_of(head) is not None or may_be_tar(head)
    except NotLookedInto:
        return True
