"""An import contract (import-linter): from outside a package, nothing but its facade is imported.

A facade is a package's ``__init__``: the names that it exports and, where importing them all would cost too much or
need an extra, the modules below it that ``__all__`` names. Every package inside a room declares one; deeper ones may.
"""

import ast
from collections.abc import Callable, Iterable
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import grimp
from importlinter import Contract, ContractCheck, fields, output
from importlinter.application import contract_utils

Facade = frozenset[str] | None
"""What a package declares in ``__all__``; None: nothing, all of it may be imported."""
ROOM_DEPTH = 2
"""``modelcast.infra`` is a room; the packages in it declare facades."""


class Breach(NamedTuple):
    """An import that passes by a package's facade."""

    importer: str
    imported: str
    package: str


def passed_by(importer: str, imported: str, facade: Callable[[str], Facade]) -> str | None:
    """The outermost package whose facade an import passes by; None: the import is in order."""
    parts = imported.split(".")
    for depth in range(1, len(parts)):
        package = ".".join(parts[:depth])
        declared = facade(package)
        inside = f"{importer}.".startswith(f"{package}.")
        if declared is not None and not inside and parts[depth] not in declared:
            return package
    return None


def declared_in(init: Path) -> Facade:
    """``__all__`` as the file has it; None: there is none."""
    for statement in ast.parse(init.read_text()).body:
        if isinstance(statement, ast.Assign) and [ast.unparse(target) for target in statement.targets] == ["__all__"]:
            return frozenset(ast.literal_eval(statement.value))
    return None


class FacadeContract(Contract):
    """See the module. ``ignore_imports`` names the imports that still pass by a facade."""

    type_name = "facade"

    ignore_imports = fields.SetField(subfield=fields.ImportExpressionField(), required=False)

    def check(self, graph: grimp.ImportGraph, verbose: bool) -> ContractCheck:
        removed = contract_utils.remove_ignored_imports_and_report(
            graph=graph,
            ignore_imports=self.ignore_imports,  # type: ignore[arg-type]
            unmatched_alerting=contract_utils.AlertLevel.ERROR,
        )
        ours = [each for each in graph.modules if each.split(".")[0] in self.session_options["root_packages"]]
        facade = cache(_declared)
        undeclared = sorted(each for each in _packages_of_rooms(ours) if facade(each) is None)
        breaches = [
            Breach(importer, imported, package)
            for importer in sorted(ours)
            for imported in sorted(graph.find_modules_directly_imported_by(importer) & set(ours))
            if (package := passed_by(importer, imported, facade)) is not None
        ]
        return ContractCheck(
            kept=not breaches and not undeclared,
            warnings=list(removed.warnings),
            ignored_import_count=removed.ignored_import_count,
            metadata={"breaches": breaches, "undeclared": undeclared},
        )

    def render_broken_contract(self, check: ContractCheck) -> None:
        for package in check.metadata["undeclared"]:
            output.print_error(f"- {package} declares no facade: name in __all__ what others may import", bold=False)
        for importer, imported, package in check.metadata["breaches"]:
            output.print_error(f"- {importer} -> {imported} passes by the facade of {package}", bold=False)
        output.new_line()


def _packages_of_rooms(modules: Iterable[str]) -> set[str]:
    parents = {each.rpartition(".")[0] for each in modules}
    return {each for each in parents if each.count(".") == ROOM_DEPTH}


def _declared(package: str) -> Facade:
    root, *parts = package.split(".")
    spec = find_spec(root)
    assert spec is not None
    folders = (Path(place).joinpath(*parts) for place in spec.submodule_search_locations or ())
    init = next((each / "__init__.py" for each in folders if (each / "__init__.py").exists()), None)
    return declared_in(init) if init else None
