"""``modelcast rollout forecast``: says how long, needs nothing, and refuses what makes no sense."""

import json

import pytest

from tests.cli.conftest import Cli

TRAFFIC = ("rollout", "forecast", "--requests-per-second", "200", "--error-rate")


def test_a_forecast_is_a_table_and_a_sentence_for_each_share(cli: Cli) -> None:
    ended = cli(*TRAFFIC, "0.5%")
    assert ended.code == 0
    assert "at 200 requests/s and 0.5 % errors a 1 % step shows 5x in about 4 min" in ended.out
    assert [line.split()[0] for line in ended.out.splitlines()[1:4]] == ["1", "10", "50"]


def test_rates_may_be_percent_or_fractions(cli: Cli) -> None:
    percent = cli(*TRAFFIC, "0.5%", "--share", "10%", "-o", "json")
    assert cli(*TRAFFIC, "0.005", "--share", "0.1", "-o", "json").out == percent.out
    (found,) = json.loads(percent.out)
    assert (found["share"], found["error_rate"]) == (0.1, 0.005)
    assert found["harmful"][0]["median_seconds"] < found["harmless"]["median_seconds"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("x",), "bad --error-rate 'x'"),
        (("50",), "bad error rate 50"),
        (("nan",), "bad error rate nan"),
        (("0.5%", "--share", "100%"), "bad share 1.0"),
        (("0.5%", "--share", "none"), "bad --share 'none'"),
        (("0.5%", "--requests-per-second", "-5"), "bad requests per second -5.0"),
    ],
)
def test_wrong_numbers_are_refused(cli: Cli, arguments: tuple[str, ...], message: str) -> None:
    ended = cli(*TRAFFIC, *arguments)
    assert ended.code == 2
    assert message in ended.err
    assert "→" in ended.err


def test_the_hint_is_about_the_number_that_is_wrong(cli: Cli) -> None:
    assert "more than 0, at most 1e9" in cli(*TRAFFIC, "0.5%", "--requests-per-second", "-5").err
    assert "less than 100%" in cli(*TRAFFIC, "50").err
