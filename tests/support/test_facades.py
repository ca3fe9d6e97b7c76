"""From outside a package nothing but its facade is imported."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.facades import declared_in, passed_by

ROOT = Path(__file__).parents[2]
FACADES = {"m.infra.kafka": frozenset({"client"}), "m.agents.region": frozenset({"run"}), "m.agents.region.shell": None}
CONFIG = """
[importlinter]
root_packages = m
contract_types =
    facade: tests.support.facades.FacadeContract

[importlinter:contract:facades]
name = Facades
type = facade
"""


@pytest.mark.parametrize(
    ("importer", "imported", "expected"),
    [
        ("m.cli.get", "m.infra.kafka", None),
        ("m.cli.get", "m.infra.kafka.client", None),
        ("m.cli.get", "m.infra.kafka.outbox", "m.infra.kafka"),
        ("m.infra.kafka.outbox", "m.infra.kafka.admin", None),
        ("m.infra.kafka", "m.infra.kafka.admin", None),
        ("m.infra.kafka_view", "m.infra.kafka.admin", "m.infra.kafka"),
        ("m.agents.region.intake", "m.agents.region.shell.effects", None),
        ("m.agents.tracker.intake", "m.agents.region.shell.effects", "m.agents.region"),
        ("m.cli.get", "m.infra.settings", None),
    ],
)
def test_what_lies_behind_a_facade_is_for_its_package_alone(importer: str, imported: str, expected: str | None) -> None:
    assert passed_by(importer, imported, FACADES.get) == expected


def test_a_facade_is_what_all_names(tmp_path: Path) -> None:
    init = tmp_path / "__init__.py"
    init.write_text('"""Text."""\nfrom m.a import A\n\n__all__ = ["A", "port"]\n')
    assert declared_in(init) == {"A", "port"}
    init.write_text('"""Text."""\n')
    assert declared_in(init) is None


@pytest.mark.parametrize(
    ("said", "imported", "expected"),
    [
        ('__all__ = ["open"]', "m.infra.store.open", "KEPT"),
        (
            '__all__ = ["open"]',
            "m.infra.store.parts",
            "m.cli.get -> m.infra.store.parts passes by the facade of m.infra.store",
        ),
        ("", "m.infra.store.open", "m.infra.store declares no facade"),
    ],
)
def test_the_contract_names_what_passes_by(tmp_path: Path, said: str, imported: str, expected: str) -> None:
    for path, text in {
        "m/__init__.py": "",
        "m/cli/__init__.py": "",
        "m/cli/get.py": f"import {imported}\n",
        "m/infra/__init__.py": "",
        "m/infra/store/__init__.py": said,
        "m/infra/store/open.py": "",
        "m/infra/store/parts.py": "",
    }.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    (tmp_path / ".importlinter").write_text(CONFIG)
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "from importlinter.cli import lint_imports_command; lint_imports_command()",
            "--no-cache",
        ],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert expected in done.stdout, done.stdout + done.stderr
    assert done.returncode == (0 if expected == "KEPT" else 1)
