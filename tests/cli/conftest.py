"""The command line in this process: fast enough for every wrong argument."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from modelcast.cli import main


@dataclass(frozen=True)
class Ended:
    """How a command ended, and what it said."""

    code: int
    out: str
    err: str


Cli = Callable[..., Ended]


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Cli:
    """``modelcast ARGUMENTS`` in an empty folder, with no settings but those given as keywords."""
    monkeypatch.chdir(tmp_path)
    for name in list(main.os.environ):
        if name.startswith(("MODELCAST_", "AWS_")) and name != "MODELCAST_CACHE_DIR":
            monkeypatch.delenv(name)

    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments: str | Path, **env: str) -> Ended:
        for name, value in env.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(sys, "argv", ["modelcast", *map(str, arguments)])
        code = 0
        try:
            main.run()
        except SystemExit as ended:
            code = int(ended.code or 0)
        said = capsys.readouterr()
        return Ended(code, said.out, said.err)

    return run
