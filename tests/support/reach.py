"""Which test files could notice that a package is gone: decided from what their source imports, starts and reads.

A file can notice it if it, or a module of ``tests`` that it imports, reaches the package or one of its ``doors`` by
any chain of imports, starts a process (which may load anything), or looks at the tree itself.
"""

import ast
import re
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path

import grimp

STARTS_OR_LOOKS = re.compile(r"\bsubprocess\b|\bpsutil\b|\bChild\b|\bshared\(|\bLocalStack\b|\b__file__\b|\bgetsource")
"""What a file says that starts processes or reads the tree."""


class Reach:
    """See the module.

    Args:
        root: of the tree.
        doors: modules by which the package is reached without an import, and the package itself.
    """

    def __init__(self, root: Path, doors: Iterable[str]) -> None:
        self._root = root
        self._graph = grimp.build_graph("modelcast", cache_dir=None)
        self._doors = set(doors)
        self._said: dict[Path, bool] = {}

    def may_notice(self, test: Path) -> bool:
        """Whether a test file could; with the fixtures of its folders, but those of the whole suite."""
        fixtures = (folder / "conftest.py" for folder in test.parents if self._root / "tests" in folder.parents)
        return any(self._notices(file) for file in (test, *fixtures) if file.exists())

    @cached_property
    def _reaching(self) -> frozenset[str]:
        """Product modules from which a door is reached. To import a module is to import the packages around it."""
        reaching: set[str] = set()
        fresh = {
            each for each in self._graph.modules for door in self._doors if each == door or each.startswith(door + ".")
        }
        while fresh:
            reaching |= fresh
            direct = {up for each in fresh for up in self._graph.find_modules_that_directly_import(each)}
            inside = {each for each in self._graph.modules for package in fresh if each.startswith(package + ".")}
            fresh = (direct | inside) - reaching
        return frozenset(reaching)

    def _notices(self, file: Path) -> bool:
        if file not in self._said:
            self._said[file] = False  # while it is looked at: files that import each other
            text = file.read_text()
            self._said[file] = bool(STARTS_OR_LOOKS.search(text)) or any(map(self._leads_there, imported(text)))
        return self._said[file]

    def _leads_there(self, name: str) -> bool:
        if name.startswith("tests."):
            return (file := self._root / (name.replace(".", "/") + ".py")).exists() and self._notices(file)
        return bool(set(packages_of(name)) & self._reaching)


def imported(text: str) -> Iterator[str]:
    """Every module that a source names in an import, also deep inside; what is imported *from* one may be one, too."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{each.name}" for each in node.names)


def packages_of(name: str) -> Iterator[str]:
    """The module and the packages around it: ``a.b.c``, ``a.b``, ``a``."""
    parts = name.split(".")
    yield from (".".join(parts[:count]) for count in range(len(parts), 0, -1))
