"""``modelcast outcome``: what makes no sense is refused before anything is sent; nothing listens here."""

from pathlib import Path

import pytest

from tests.cli.conftest import Cli


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("fraud",), "it needs a name and a number"),
        (("fraud", "ctr"), "it needs a name and a number"),
        (("fraud", "ctr", "1", "--file", "-"), "it needs a name and a number"),
        (("fraud", "ctr", "many", "--version", "8"), "'many' is no number"),
        (("fraud", "ctr", "nan", "--version", "8"), "bad value nan"),
        (("fraud", "ctr", "1"), "belongs to no version"),
        (("fraud", "c t r", "1", "--version", "8"), "name"),
        (("fraud", "ctr", "1", "--version", "8", "--at", "2999-01-01"), "lies in the future"),
        (("fraud", "ctr", "1", "--version", "8", "--region", "no such"), "region"),
        (("no model!", "ctr", "1", "--version", "8"), "no model!"),
    ],
)
def test_what_makes_no_sense_is_a_usage_error(cli: Cli, arguments: tuple[str, ...], message: str) -> None:
    ended = cli("outcome", *arguments)
    assert (ended.code, message in ended.err) == (2, True), ended.err


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "line 1: not JSON"),
        ("[]", "line 1: it is no object"),
        ('{"name": "ctr", "value": 1, "user": "ann"}', "line 1: unknown fields: user"),
        ('{"name": "ctr", "value": "1", "version": 8}', "line 1: bad value '1'"),
        ('{"name": "ctr", "value": 1, "version": "8"}', "line 1: version is '8'"),
        ('{"name": "ctr", "value": 1, "version": 8, "at": 1e99}', "line 1: 1e+99 is no time"),
        ("x" * 70_000, "line 1 is longer"),
    ],
)
def test_a_line_that_makes_no_sense_is_named(cli: Cli, tmp_path: Path, line: str, message: str) -> None:
    file = tmp_path / "labels.jsonl"
    file.write_text(f"{line}\n")
    ended = cli("outcome", "fraud", "--file", str(file))
    assert (ended.code, message in ended.err) == (2, True), ended.err


def test_a_file_that_is_not_there_is_named(cli: Cli) -> None:
    ended = cli("outcome", "fraud", "--file", "no-such.jsonl")
    assert "no such file" in ended.err
    assert ended.code != 0
