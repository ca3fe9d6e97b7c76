"""What a publication leaves out: what tools leave behind in folders, and what ``.modelcastignore`` names.

The file lies in the folder that is published and is written like a ``.gitignore``. It has the last word, so ``!name``
carries what would be left out by default.
"""

import fnmatch
import re
from pathlib import Path
from typing import TYPE_CHECKING

from modelcast.schemas.errors import Refused

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

IGNORE_FILE = ".modelcastignore"
IGNORE_FILE_SIZE_MAX = 1024**2
BY_DEFAULT = "by default"
_NAMES = (  # names wherever they are; with a slash: of folders
    IGNORE_FILE,
    # version control; what Hugging Face and ModelScope downloaded when, and with which locks
    ".git",
    ".hg/",
    ".svn/",
    ".bzr/",
    ".jj/",
    ".huggingface/",
    ".locks/",
    "*.*.lock",  # of a file that it is called after; poetry.lock and its like are carried
    ".msc",
    ".mv",
    ".mdl",
    # Python and notebooks
    "__pycache__/",
    ".ipynb_checkpoints/",
    ".pytest_cache/",
    ".mypy_cache/",
    ".ruff_cache/",
    ".tox/",
    ".nox/",
    ".eggs/",
    "*.egg-info/",
    ".venv/",
    "node_modules/",
    # secrets
    ".env",
    ".netrc",
    ".aws/",
    ".ssh/",
    # records of experiments
    "wandb/",
    "mlruns/",
    "mlartifacts/",
    "lightning_logs/",
    "events.out.tfevents.*",
    ".neptune/",
    ".dvc/",
    # desktops
    ".DS_Store",
    "._*",
    ".AppleDouble/",
    "__MACOSX/",
    ".Spotlight-V100/",
    ".Trashes/",
    ".fseventsd/",
    "Thumbs.db",
    "desktop.ini",
    "$RECYCLE.BIN/",
    "System Volume Information/",
    ".directory",
    ".Trash-*/",
    # editors
    "*~",
    ".*.sw[a-p]",
    "#*#",
    ".#*",
    ".idea/",
    ".vscode/",
    # file systems, and how Kubernetes mounts files
    "lost+found/",
    ".nfs[0-9a-f]*",
    ".fuse_hidden*",
    ".snapshot/",
    "..data",
    "..data_tmp",
    "..[0-9]*/",
)
ENVIRONMENT_FILE = "pyvenv.cfg"
"""What lies in every virtual environment of Python, whatever the folder is called."""
HUGGING_FACE = ".cache/huggingface/"
_BY_DEFAULT = re.compile("|".join(fnmatch.translate(name) for name in _NAMES))


class Ignoring:
    """Which paths of one folder are left out.

    Args:
        lines: of its ignore file.

    Raises:
        ValueError: a line that is no pattern.
    """

    def __init__(self, lines: tuple[str, ...] = ()) -> None:
        self._lines = lines
        self._spec = _spec_of(lines) if lines else None

    @classmethod
    def of(cls, folder: Path) -> "Ignoring":
        """The rules of the folder's ignore file, if it has one.

        Raises:
            Refused: the ignore file can't be read, or a line in it makes no sense.
        """
        file = folder / IGNORE_FILE
        try:
            with file.open("rb") as stream:
                text = stream.read(IGNORE_FILE_SIZE_MAX + 1)
            if len(text) > IGNORE_FILE_SIZE_MAX:
                raise ValueError(f"more than {IGNORE_FILE_SIZE_MAX} bytes")
            lines = tuple(text.decode("utf-8-sig").splitlines())
        except FileNotFoundError:
            if file.is_symlink():
                raise Refused("a link to nowhere", subject=str(file), hint="take it out, or mend it") from None
            return cls()
        except OSError as error:
            raise Refused(f"can't be read: {error.strerror}", subject=str(file), hint="mend it") from None
        except ValueError as error:
            raise Refused(f"no text in UTF-8: {error}", subject=str(file), hint="mend it") from None
        for number, line in enumerate(lines, 1):
            try:
                _spec_of((line,))
            except ValueError:
                hint = "one pattern a line, as in a .gitignore"
                raise Refused(f"line {number} is no pattern: {line[:80]!r}", subject=str(file), hint=hint) from None
        return cls(lines)

    def why(self, path: str, *, is_environment: bool = False) -> str | None:
        """Why a path is left out, or None. Folders end in a slash; what lies in one that is left out is so, too.

        ``is_environment``: it is a virtual environment of Python.
        """
        if self._spec is not None:
            found = self._spec.check_file(path)
            if found.index is not None and found.include is not None:
                return f"{IGNORE_FILE}: {self._lines[found.index].strip()}" if found.include else None
        return BY_DEFAULT if is_environment or _is_left_out_by_default(path) else None


def _is_left_out_by_default(path: str) -> bool:
    name = path.rstrip("/").rpartition("/")[2]
    if _BY_DEFAULT.match(name) or (path.endswith("/") and _BY_DEFAULT.match(name + "/")):
        return True
    return path == HUGGING_FACE or path.endswith("/" + HUGGING_FACE)


def _spec_of(lines: tuple[str, ...]) -> "GitIgnoreSpec":
    from pathspec import GitIgnoreSpec  # 50 ms, and few folders have such a file

    return GitIgnoreSpec.from_lines(lines)
