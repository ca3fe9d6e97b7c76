"""The map and the decisions: their size, their numbers, and the files that they link to."""

import re
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[3]
MAP_SIZE_MAX_BYTES = 10 * 1024
DECISIONS = sorted((ROOT / "docs" / "adr").glob("*.md"))
DOCUMENTS = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
ROOMS = ("agents", "cli", "consumers", "dashboard", "deltas", "infra", "producers", "schemas", "tests")
_LINK = re.compile(r"\]\(([^)#\s:]+)(?:#[^)]*)?\)")
_MODULE = re.compile(r"`([a-z_]+(?:/[a-z_0-9]+)+\.py)`")


def test_the_map_is_short() -> None:
    assert (ROOT / "ARCHITECTURE.md").stat().st_size <= MAP_SIZE_MAX_BYTES


def test_each_decision_has_a_number_of_its_own_and_says_it() -> None:
    numbers = Counter(path.name[:4] for path in DECISIONS)
    assert [number for number, count in numbers.items() if count > 1] == []
    assert [path.name for path in DECISIONS if not path.read_text().startswith(f"# {int(path.name[:4])}. ")] == []


def test_links_between_documents_lead_somewhere() -> None:
    found = [(path, link) for path in DOCUMENTS for link in _LINK.findall(path.read_text())]
    assert found
    assert [(path.name, link) for path, link in found if not (path.parent / link).exists()] == []


def test_modules_that_documents_name_are_there() -> None:
    named = [(path, module) for path in DOCUMENTS for module in _MODULE.findall(path.read_text())]
    assert len(named) > 20
    there = [f"/{path.relative_to(ROOT).as_posix()}" for room in ROOMS for path in (ROOT / room).rglob("*.py")]
    assert [(path.name, module) for path, module in named if not any(at.endswith(f"/{module}") for at in there)] == []
