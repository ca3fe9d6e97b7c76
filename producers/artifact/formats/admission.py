"""Which files of an artifact are of no format that is known, and whether they may be published. Pure."""

import posixpath
import re
import shlex
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import PurePosixPath

from modelcast.producers.artifact.formats.recognised import STRICT, TEXT
from modelcast.schemas.errors import Refused, UsageError

SHOWN_MAX = 5
KNOWN = "ONNX, safetensors, text and JSON, and other formats of models and tokenizers"
_CHECKPOINT_DATA = re.compile(r"(.*)\.data-\d{5}-of-\d{5}", re.DOTALL)
_TFJS_SHARD = re.compile(r"group\d+-shard\d+of\d+(\.bin)?")


def unknown_of(formats: Mapping[str, str], external: Mapping[str, Iterable[str]]) -> tuple[str, ...]:
    """Paths of the files that are of no known format, in order.

    Bare weights have no format of their own; they are known by the file beside them that says what they are: external
    data of an ONNX model, the data of a TensorFlow checkpoint, the weights of OpenVINO and TensorFlow.js.

    Args:
        formats: of each file, by path; "" is none.
        external: by an ONNX model's path, where its external data lies, as it says.
    """
    named = {
        posixpath.normpath(posixpath.join(posixpath.dirname(model), location))
        for model, locations in external.items()
        for location in locations
    }
    return tuple(
        path for path, found in formats.items() if not found and path not in named and not _is_beside(path, formats)
    )


def _is_beside(path: str, formats: Mapping[str, str]) -> bool:
    if found := _CHECKPOINT_DATA.fullmatch(path):
        return formats.get(f"{found[1]}.index") == "checkpoint index"
    if path.endswith(".bin") and formats.get(path.removesuffix(".bin") + ".xml") == TEXT:
        return True
    folder, _, name = path.rpartition("/")
    beside = posixpath.join(folder, "model.json")
    return _TFJS_SHARD.fullmatch(name) is not None and formats.get(beside) == TEXT


def check_known(unknown: Collection[str], allowed: Sequence[str], *, subject: str) -> None:
    """Refuse files of no known format, unless they are asked for.

    Args:
        unknown: their paths.
        allowed: patterns as in ``.gitignore``: a name, ``*.plan``, ``*`` for all.
        subject: what is published, for the message.

    Raises:
        Refused: one is not asked for; all that are not are named.
        UsageError: a pattern can't be read.
    """
    from pathspec import GitIgnoreSpec

    if not unknown:
        return
    try:
        asked_for = GitIgnoreSpec.from_lines(allowed)
    except ValueError as error:
        raise UsageError(f"a pattern can't be read: {error}", subject="allow_unknown", hint='as in "*.plan"') from None
    refused = [path for path in unknown if path not in allowed and not asked_for.match_file(path)]
    if not refused:
        return
    shown = ", ".join(map(_shown, refused[:SHOWN_MAX]))
    more = f" and {len(refused) - SHOWN_MAX} more" if len(refused) > SHOWN_MAX else ""
    ask = " ".join(f"--allow-unknown {shlex.quote(path)}" for path in refused[:SHOWN_MAX])
    raise Refused(
        f"of no format that is known ({KNOWN}): {shown}{more}",
        subject=subject,
        hint=f"name it in .modelcastignore; or, if you know what it is, publish with {ask}, "
        "or set publish.allow_unknown, for one model below publish.models.NAME",
    )


def _shown(path: str) -> str:
    ending = PurePosixPath(path).suffix.lower()
    return f"{path} (and not what its ending {ending} says)" if ending in STRICT else path
