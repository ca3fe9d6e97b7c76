"""Every module compiles, and finds what it imports of the standard library, on each Python of 3.11 to 3.13 found here.

What is installed for this Python can't be imported by another one: whether all works there, its own environment tells,
``make test VENV=.venv-3.13 PYTHON=python3.13``.
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
ROOMS = ("agents", "cli", "consumers", "dashboard", "deltas", "infra", "producers", "schemas")
VERSIONS = ("3.11", "3.12", "3.13")
LOOK = """
import ast, importlib, json, sys, warnings
from pathlib import Path

library, files = json.load(sys.stdin)
wanted, trouble = set(), []
for file in files:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            tree = ast.parse(Path(file).read_bytes(), file)
            compile(tree, file, "exec")
    except (SyntaxError, SyntaxWarning, DeprecationWarning) as error:
        trouble.append(f"{file}: {error}")
        continue
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            wanted |= {(each.name, "") for each in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            wanted |= {(node.module, each.name) for each in node.names}
for module, name in sorted(wanted):
    if module.partition(".")[0] in library:
        try:
            found = importlib.import_module(module)
            if name and not hasattr(found, name):
                importlib.import_module(f"{module}.{name}")
        except ImportError as error:
            trouble.append(f"from {module} import {name}: {error}")
print(json.dumps([len(wanted), trouble]))
"""


def found_here() -> dict[str, str]:
    """The interpreters by version: on the PATH, or beside ours, where pyenv and uv put them."""
    found = {"{}.{}".format(*sys.version_info): sys.executable}
    for version in VERSIONS:
        beside = sorted(Path(sys.base_prefix).parent.glob(f"*{version}*/bin/python{version}"))
        places = [shutil.which(f"python{version}"), *map(str, beside)]
        for place in filter(None, places):
            asked = [place, "-c", "import sys; print('{}.{}'.format(*sys.version_info))"]
            told = subprocess.run(asked, capture_output=True, text=True, timeout=60, check=False).stdout.strip()
            if told == version:  # a name on the PATH may lead to nothing, as pyenv's do
                found.setdefault(version, place)
    return found


def look(interpreter: str, *files: Path) -> tuple[int, list[str]]:
    """How much is imported, and what is wrong."""
    asked = json.dumps([sorted(sys.stdlib_module_names), [str(each) for each in files]])
    command = [interpreter, "-I", "-c", LOOK]
    done = subprocess.run(command, input=asked, capture_output=True, text=True, timeout=170, check=False)
    assert done.returncode == 0, done.stderr
    imported, trouble = json.loads(done.stdout)
    return imported, trouble


@pytest.mark.soak
def test_every_module_compiles_and_finds_the_standard_library_on_each_python_here() -> None:
    files = [path for room in ROOMS for path in sorted((ROOT / room).rglob("*.py"))]
    assert len(files) > 300
    for version, interpreter in found_here().items():
        imported, trouble = look(interpreter, *files)
        assert (imported > 500, trouble) == (True, []), version


@pytest.mark.parametrize(
    "code", ["x = [1, 2\n", "print('\\d')\n", "import asynchat_that_was\n", "from os import no_such_name\n"]
)
def test_what_a_python_does_not_know_is_found(code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "module.py"
    file.write_text(code)
    monkeypatch.setattr(sys, "stdlib_module_names", frozenset({"os", "asynchat_that_was"}))
    assert len(look(sys.executable, file)[1]) == 1
