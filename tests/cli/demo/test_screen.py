"""The demo's closing table."""

from modelcast.cli.demo.judgement import ROLLBACK
from modelcast.cli.demo.outcome import Outcome
from modelcast.cli.demo.screen import summary_table
from modelcast.cli.demo.seen import Crossing
from tests.cli.views.test_tables import shown

MIB = 1024 * 1024


def test_the_closing_table_tells_bytes_and_ways_once_where_regions_agree() -> None:
    whole, far = (
        Crossing(68 * MIB, 0, 68 * MIB, "whole"),
        Crossing(MIB, 67 * MIB, 68 * MIB, "delta from 1"),
    )
    outcome = Outcome(
        seconds_to_serving={
            "1": {"eu": 1.0, "us": 2.0},
            ROLLBACK: {"eu": 0.5, "us": 0.4},
            "digits-wide/2": {"eu": 3.0},
        },
        transfers={"1": {"eu": whole, "us": whole}, "digits-wide/2": {"eu": whole, "us": far}},
    )
    _, first, rollback, second = shown(summary_table(outcome, "digits"), columns=160)
    assert first.split() == ["digits/1", "1.0", "s", "2.0", "s", "68", "MiB", "0", "B", "whole"]
    assert rollback.split()[-3:] == ["-", "-", "-"]
    assert "68 MiB, 1.0 MiB" in second
    assert "whole, delta from 1" in second
