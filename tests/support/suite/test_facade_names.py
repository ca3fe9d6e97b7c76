"""A facade names what others use, and no more: each name in an ``__all__`` is imported from outside its package."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.facades import declared_in
from tests.support.suite.vocabulary import FOLDERS, ROOT

FOR_PROGRAMS = {"consumers", "consumers/watcher", "deltas/codec", "producers"}
"""What programs outside this tree import: README and docs name it."""


def dotted(folder: Path) -> str:
    return ".".join(("modelcast", *folder.parts))


def used_names(tree: ast.AST) -> Iterator[str]:
    """Every name that a module imports, in full, and those that it takes from a package by a dot."""
    bound: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for each in node.names:
                yield each.name
                if each.asname:
                    bound[each.asname] = each.name
        elif isinstance(node, ast.ImportFrom) and node.module:
            for each in node.names:
                yield f"{node.module}.{each.name}"
                bound[each.asname or each.name] = f"{node.module}.{each.name}"
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in bound:
            yield f"{bound[node.value.id]}.{node.attr}"


def uses() -> Iterator[tuple[Path, str]]:
    """File, and what it imports; a test of a package counts as a part of it, for it stands in the same folder."""
    for folder in (*FOLDERS, "tests"):
        for path in (ROOT / folder).rglob("*.py"):
            at = path.relative_to(ROOT)
            inside = at.relative_to("tests") if folder == "tests" else at
            yield from ((inside, name) for name in used_names(ast.parse(path.read_text())))


def facades() -> dict[Path, frozenset[str]]:
    found = {}
    for folder in FOLDERS:
        for init in (ROOT / folder).rglob("__init__.py"):
            if (names := declared_in(init)) is not None:
                found[init.parent.relative_to(ROOT)] = names
    return found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("import m.a.b", {"m.a.b"}),
        ("from m.a import b as c", {"m.a.b"}),
        ("from m import a as x\nx.b()", {"m.a", "m.a.b"}),
        ("import m.a as x\nx.b", {"m.a", "m.a.b"}),
    ],
)
def test_a_use_is_an_import_or_a_dot(text: str, expected: set[str]) -> None:
    assert set(used_names(ast.parse(text))) == expected


@pytest.mark.skipif(not (ROOT / "deltas").exists(), reason="needs deltas, which alone use some of them")
def test_every_name_of_a_facade_is_used_from_outside_its_package() -> None:
    named = {folder: names for folder, names in facades().items() if folder.as_posix() not in FOR_PROGRAMS}
    assert len(named) > 30, "looked in the wrong place"
    outside: dict[Path, set[str]] = {folder: set() for folder in named}
    folders = {dotted(folder): folder for folder in named}
    for file, name in set(uses()):
        parts = name.split(".")
        for end in range(1, len(parts)):
            folder = folders.get(".".join(parts[:end]))
            if folder is not None and not file.is_relative_to(folder):
                outside[folder].add(parts[end])
    unused = {
        str(folder): sorted(names - outside[folder]) for folder, names in named.items() if names - outside[folder]
    }
    assert unused == {}, "take them out of __all__"


def test_every_name_of_a_facade_is_there() -> None:
    missing = []
    for folder, names in facades().items():
        tree = ast.parse((ROOT / folder / "__init__.py").read_text())
        bound = {a.asname or a.name for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) for a in n.names}
        bound |= {n.name for n in tree.body if isinstance(n, ast.FunctionDef | ast.ClassDef)}
        there = {each.stem for each in (ROOT / folder).iterdir()}
        missing += [f"{dotted(folder)}.{name}" for name in names - bound - there]
    assert missing == []
