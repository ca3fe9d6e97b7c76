"""A failure that Python would drop while the interpreter ends sets the exit code; one that is handled does not."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from modelcast.producers.ending import EXIT_CODE

START = """
import atexit, sys, threading
from modelcast.producers import Publisher
from modelcast.schemas.errors import ModelcastError
from modelcast.infra.settings import Settings
from modelcast.infra.stores import MemoryStore

publisher = Publisher(Settings(), store=MemoryStore(), announcer=None)

def fail():
    publisher.publish("fraud", "nowhere")
"""


def run(folder: Path, script: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", START + textwrap.dedent(script)],
        cwd=folder, env={"PATH": os.environ["PATH"]}, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def test_a_publication_that_fails_at_exit_sets_the_exit_code_and_loses_nothing(tmp_path: Path) -> None:
    done = run(
        tmp_path,
        """
        atexit.register(lambda: print("after", flush=True))  # called last
        atexit.register(fail)
        sys.stdout.write("before")
        """,
    )
    assert done.returncode == EXIT_CODE, done.stderr
    assert done.stdout == "beforeafter\n"
    assert "nowhere: no such file or folder" in done.stderr
    assert "a publication failed while the interpreter was ending: exit code 120" in done.stderr


def test_so_does_one_in_a_thread_that_outlives_the_main_one(tmp_path: Path) -> None:
    done = run(
        tmp_path,
        """
        def train():
            threading.main_thread().join()
            try:
                fail()
            except ModelcastError as error:
                raise RuntimeError("no model today") from error

        threading.Thread(target=train).start()
        """,
    )
    assert done.returncode == EXIT_CODE, done.stderr
    assert "no model today" in done.stderr


def test_one_that_is_handled_at_exit_does_not(tmp_path: Path) -> None:
    done = run(
        tmp_path,
        """
        def careful():
            try:
                fail()
            except ModelcastError as error:
                print(error.message)

        atexit.register(careful)
        """,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "no such file or folder\n"


@pytest.mark.parametrize("call", ["Publisher()", "published.wait('nonsense')", "commander.pause('Fraud!')"])
def test_whatever_a_callback_calls_last(tmp_path: Path, call: str) -> None:
    done = run(
        tmp_path,
        f"""
        from pathlib import Path
        from modelcast.producers import Commander, Published

        published, commander = Published("fraud", 1, 1, "e", "d", True, True), Commander(Settings())
        Path("modelcast.toml").write_text("[kafak]")
        atexit.register(lambda: {call})
        """,
    )
    assert done.returncode == EXIT_CODE, done.stderr
    assert "UsageError" in done.stderr
