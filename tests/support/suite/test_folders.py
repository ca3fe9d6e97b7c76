"""The tree stays one that people find their way in: folders hold few files, modules few lines."""

from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[3]
ROOMS = ("agents", "cli", "consumers", "dashboard", "deltas", "infra", "producers", "schemas")
FILES_MAX = 16
LINES_MAX = 400


def python_files(*folders: str) -> list[Path]:
    found = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    assert len(found) > 100, "looked in the wrong place"
    return found


def test_no_folder_holds_many_python_files() -> None:
    held = Counter(path.parent for path in python_files(*ROOMS, "tests"))
    assert {str(folder.relative_to(ROOT)): count for folder, count in held.items() if count > FILES_MAX} == {}


def test_no_module_of_the_product_is_long() -> None:
    lines = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in python_files(*ROOMS)}
    assert {name: count for name, count in lines.items() if count > LINES_MAX} == {}
