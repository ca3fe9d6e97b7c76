"""Lists that also name what belongs to deltas: here, because a tree without deltas lacks some of it."""

from pathlib import Path

from modelcast.infra.variables import OTHERS
from tests.infra.test_variables import OF_DELTAS
from tests.support.suite.scheduling import FIRST, SPREAD, TOGETHER

ROOT = Path(__file__).parents[2]


def test_the_order_of_tests_speaks_of_files_that_exist() -> None:
    named = {*TOGETHER, *SPREAD, *FIRST} - {*TOGETHER.values()}
    assert (
        named - {path.relative_to(ROOT / "tests").as_posix() for path in (ROOT / "tests").rglob("test_*.py")} == set()
    )


def test_every_variable_of_deltas_is_read_there() -> None:
    sources = "".join(path.read_text() for path in (ROOT / "deltas").rglob("*.py"))
    names = [name for name in OTHERS if name.startswith(OF_DELTAS)]
    assert names
    assert [name for name in names if name not in sources] == []
