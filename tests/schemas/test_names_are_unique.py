"""One name means one thing: no public class or function is defined twice in the product."""

import ast
from collections import defaultdict
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = ("agents", "cli", "consumers", "dashboard", "deltas", "infra", "producers", "schemas")
ALIKE = {
    "main": "the entry point of a process",
    "register": "adds a module's commands to the command line",
    "units": "what one kind of check of doctor looks at",
    "unavailable": "a client library's error as ours: one for each library",
    "encode": "pairs with decode: records, kept evidence, and the codec's payloads",
    "decode": "pairs with encode",
    "step": "one step of a pure fold, named by its module",
    "fold": "the same, over many",
    "judge": "the decision of a pure module: a demo's run, an order, a state",
    "build_app": "the streams of a daemon",
    "load": "settings, settings for a command, an accelerator: called by their module",
}
"""Functions that are alike in each module that defines one, and are called by the module's name; why."""
COMMANDS = {"apply", "describe", "down", "forecast", "info", "make", "plan", "publish", "pull", "replay", "show", "up"}
"""Commands of the command line, named as they are typed, and the function that does what one asks for."""


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


def test_no_public_name_is_defined_twice() -> None:
    twice = {name: paths for name, paths in defined().items() if len(paths) > 1}
    assert {n: p for n, p in twice.items() if n not in ALIKE and n not in COMMANDS} == {}


@pytest.mark.skipif(not (ROOT / "deltas").exists(), reason="needs deltas, which define some of them")
def test_every_exception_is_needed() -> None:
    assert {name for name in {*ALIKE, *COMMANDS} if len(defined()[name]) < 2} == set()
