"""One name means one thing: no public class or function is defined twice in the product."""

import ast
from collections import defaultdict
from functools import cache
from pathlib import Path

import pytest

from tests.support.facades import declared_in

ROOT = Path(__file__).parents[2]
FOLDERS = ("agents", "cli", "consumers", "dashboard", "deltas", "infra", "producers", "schemas")
ALIKE = {
    "main": "the entry point of a process",
    "register": "adds a module's commands to the command line",
    "units": "what one kind of check of doctor looks at",
    "encode": "pairs with decode: records, and the codec's payloads",
    "decode": "pairs with encode",
    "build_app": "the streams of a daemon",
}
"""Functions that are alike in each module that defines one, and are called by the module's name; why."""
COMMANDS = {"apply", "describe", "down", "forecast", "get", "info", "make", "publish", "pull", "replay", "show", "up"}
"""Commands of the command line, named as they are typed, and the function that does what one asks for."""
SAYING_NOTHING = {"base", "common", "helpers", "manager", "misc", "utils", "values"}
"""Names of modules that do not say what lies in them."""
PROTOCOL_FUNCTIONS: dict[str, str] = {}
"""Functions that two facades export because a Protocol asks for that name; which one."""


@cache
def defined() -> dict[str, list[str]]:
    """Modules by the public names of the classes and functions that they define."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    for path in sorted(p for folder in FOLDERS for p in (ROOT / folder).rglob("*.py")):
        if path.is_relative_to(ROOT / "deltas/codec/kernels"):
            continue  # one set of functions, plain and compiled
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and node.name[0] != "_":
                kind = "class " if isinstance(node, ast.ClassDef) else ""
                found[kind + node.name].append(str(path.relative_to(ROOT)))
    return found


def exported(path: str) -> bool:
    """Whether a module can be reached from outside its package: every facade above it names the way, or is open."""
    parts = Path(path).with_suffix("").parts
    for depth in range(1, len(parts)):
        init = ROOT.joinpath(*parts[:depth], "__init__.py")
        names = declared_in(init) if init.exists() else None
        if names is not None and parts[depth] not in names:
            return False
    return True


def test_no_public_name_is_defined_twice() -> None:
    twice = {name: paths for name, paths in defined().items() if len(paths) > 1}
    assert {n: p for n, p in twice.items() if n not in ALIKE and n not in COMMANDS} == {}


def test_no_two_facades_export_functions_of_one_name() -> None:
    apart = {
        name: modules
        for name, paths in defined().items()
        if name not in COMMANDS and len(modules := [p for p in paths if not p.startswith("cli/") and exported(p)]) > 1
    }
    assert {n: p for n, p in apart.items() if n not in PROTOCOL_FUNCTIONS} == {}


@pytest.mark.skipif(not (ROOT / "deltas").exists(), reason="needs deltas, which define some of them")
def test_every_exception_is_needed() -> None:
    assert {name for name in {*ALIKE, *COMMANDS} if len(defined()[name]) < 2} == set()


def test_modules_are_named_by_what_they_hold() -> None:
    named = [path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))]
    assert [str(path.relative_to(ROOT)) for path in named if path.stem in SAYING_NOTHING] == []
    once = {stem: [str(p.relative_to(ROOT)) for p in named if p.stem == stem] for stem in ("plan", "memory")}
    assert {stem: paths for stem, paths in once.items() if len(paths) > 1} == {}
