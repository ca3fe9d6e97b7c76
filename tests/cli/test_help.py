"""What helps people: an example of each command that works, exit codes in one place, and a README that is true."""

import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import typer.main

from modelcast.cli.examples import examples
from modelcast.cli.main import EPILOG, app
from modelcast.schemas.errors import ExitCode
from tests.cli.conftest import Cli

README = (Path(__file__).parents[2] / "README.md").read_text()
ROOT: Any = typer.main.get_command(app)


def leaves(group: Any, before: str = "") -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from leaves(command, f"{before}{name} ")
        else:
            yield before + name, command


COMMANDS: Mapping[str, Any] = dict(leaves(ROOT))


def options_of(command: Any) -> set[str]:
    return {"--help", *(name for each in command.params for name in (*each.opts, *each.secondary_opts))}


def parsed(line: str) -> None:
    """Read a line as the parser would; nothing is run."""
    words = shlex.split(line, comments=True)
    assert words.pop(0) == "modelcast"
    name, command = words.pop(0), ROOT
    command = command.commands[name]
    while hasattr(command, "commands"):
        command = command.commands[words.pop(0)]
    command.make_context(name, words)


def test_every_command_has_one_example_that_is_one_of_it() -> None:
    assert examples().keys() == COMMANDS.keys()
    for name, example in examples().items():
        assert shlex.split(example)[: 1 + len(name.split())] == ["modelcast", *name.split()]
        parsed(example)


@pytest.mark.parametrize("name", ["publish", "pin", "run pod", "dead-letters replay"])
def test_help_ends_with_the_example_and_where_exit_codes_are(cli: Cli, name: str) -> None:
    ended = cli(*name.split(), "--help", COLUMNS="200")
    assert ended.code == 0
    assert f"Example: {examples()[name]}" in ended.out
    assert "Exit codes: modelcast --help" in ended.out


def test_exit_codes_are_told_in_one_place_and_all_of_them(cli: Cli) -> None:
    assert [int(number) for number in re.findall(r"(\d) ", EPILOG)] == [int(code) for code in ExitCode]
    assert " ".join(cli("--help", COLUMNS="400").out.split()).count(EPILOG) == 1
    flat = " ".join(README.split())
    assert EPILOG.removesuffix(".") in flat


def table() -> list[str]:
    """The cells of README's table of commands that say what to type."""
    rows = README.partition("| you want to | say |\n")[2].partition("\n\n")[0].splitlines()[1:]
    return [row.replace(r"\|", "\0").split("|")[2].replace("\0", "|") for row in rows]


def spans() -> Iterator[tuple[str, Any]]:
    """What the table types, a command each: its words, and the group that the row is about."""
    for cell in table():
        group = ROOT
        for span in re.findall(r"`([^`]+)`", cell):
            for text in span.removeprefix("modelcast ").split(" | "):
                first = text.split()[0]
                if first not in ROOT.commands:
                    yield text, group
                    continue
                group = ROOT.commands[first] if hasattr(ROOT.commands[first], "commands") else group
                yield text, ROOT


def named(text: str, group: Any) -> tuple[set[str], list[str]]:
    """The commands that a text of the table names, and the options that it gives them."""
    words = text.replace("[", "").replace("]", "").split()
    found = [group]
    while words and all(hasattr(each, "commands") for each in found):
        names = words.pop(0).split("|")
        found = [found[0].commands[name] for name in names]
    paths = {path for path, command in COMMANDS.items() if any(command is each for each in found)}
    return paths, [word for word in words if word.startswith("--")]


def test_the_table_in_the_readme_names_commands_and_options_that_are_there() -> None:
    for text, group in spans():
        paths, options = named(text, group)
        assert paths, text
        for path in paths:
            assert set(options) <= options_of(COMMANDS[path]), text


def test_the_table_in_the_readme_names_every_command() -> None:
    assert set().union(*(named(*span)[0] for span in spans())) == COMMANDS.keys()


def test_the_lines_to_try_by_hand_can_be_read() -> None:
    lines = README.partition("## Try it by hand\n\n")[2].partition("\n\n")[0].splitlines()
    assert len(lines) > 5
    for line in lines:
        parsed(re.sub(r'eval "\$\((.*)\)"', r"\1", line.strip()))
