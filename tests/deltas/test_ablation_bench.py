"""What the benchmark of the accelerators measures, and how its table is written."""

from pathlib import Path

from modelcast.deltas.ablation import DELTAS
from modelcast.infra.ablation import BUILT_IN
from tests.bench.ablation import ACTS_IN, NOTHING, SITUATIONS, Found, markdown, table, with_notes

CONDITIONS = {"cores": 2, "date": "2026-11-30T09:22:00+00:00"}


def took(seconds: float, bytes_moved: float = 2**20) -> Found:
    return {"first": {"bytes": bytes_moved, "seconds": seconds, "cpu_seconds": 0.5}}


def test_every_mechanism_is_measured_and_every_situation_is_one_of_some() -> None:
    assert ACTS_IN.keys() == BUILT_IN.names | DELTAS.names
    assert {situation for situations in ACTS_IN.values() for situation in situations} == set(SITUATIONS)


def test_the_table_says_what_turning_a_mechanism_off_costs_and_where() -> None:
    rows = table({NOTHING: [took(1.0), took(2.0), took(3.0)], "deltas/forecast": [took(3.0), took(3.0), took(2.9)]})
    text = markdown({"rows": rows, "rounds": 3, "mib": 64, "conditions": CONDITIONS})
    assert "| deltas/forecast | under 5% | +50% (first: 2.00 to 3.00 s) | under 5% |" in text.splitlines()
    assert "3 rounds of models of 64 MiB on 2 cores," in text


def test_the_notes_below_the_table_stay(tmp_path: Path) -> None:
    place = tmp_path / "ablation.md"
    assert with_notes("new\n", place) == "new\n"
    place.write_text("old\n| old |\n\nHow far to believe it:\n\n- a note\n")
    place.write_text(with_notes("new\n| new |\n", place))
    assert place.read_text() == "new\n| new |\n\nHow far to believe it:\n\n- a note\n"
