"""``modelcast demo``."""

import os
import signal
import time
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import orjson
import typer
from rich.text import Text

from modelcast.cli.console import out, plain, say
from modelcast.cli.options import check_output_file, path
from modelcast.schemas.errors import ExitCode

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from modelcast.cli.demo.outcome import Outcome


def register(app: typer.Typer) -> None:
    """Add ``demo`` to the command line."""
    app.command()(demo)


def demo(
    json: Annotated[Path | None, typer.Option("--json", help="Where to write the summary.", parser=path)] = None,
    picture: Annotated[
        Path | None, typer.Option("--picture", help="Where to write the last screen, as SVG.", parser=path)
    ] = None,
    regions: Annotated[str, typer.Option("--regions", help="Names, with commas.")] = "eu,us,ap",
    pods: Annotated[int, typer.Option("--pods", min=1, help="Serving pods a region.")] = 2,
    keep: Annotated[bool, typer.Option("--keep", help="Leave everything running until Ctrl-C, to look at it.")] = False,
) -> None:
    """Real models travel to three regions on this machine, and every promise is checked.

    They are published, replaced under load, damaged and refused, rolled back; a canary that harms leaves by itself.
    Nothing is left behind but the demo's cache. What is only late is reported as late. Exit code 0: every promise
    held; 1: one was broken; 3: this machine was too slow to see all of them.
    """
    from modelcast.cli.delta_extra import deltas_installed
    from modelcast.cli.demo.screen import Screen, summary_table
    from modelcast.cli.demo.script import LINK_BYTES_PER_SECOND, Demo
    from modelcast.cli.demo.subject import SMALL, ThreadedTraining
    from modelcast.infra.local.layout import check_shape, dashboard_url
    from modelcast.infra.local.scratch import scratch_dir
    from modelcast.infra.local.stack import LocalStack
    from modelcast.infra.settings import load_settings

    names = tuple(name.strip() for name in regions.split(",") if name.strip())
    check_shape(names, pods)
    for file in filter(None, (json, picture)):  # before anything is started
        check_output_file(file)
    began = time.monotonic()
    with ExitStack() as until_end:
        until_end.enter_context(_ended_tidily())
        folder = until_end.enter_context(scratch_dir())
        screen = until_end.enter_context(Screen())
        screen.step("training two networks on handwritten digits, starting Kafka, S3 and Redis")
        training = until_end.enter_context(ThreadedTraining(folder / "models"))
        links = {f"MODELCAST_REGIONS__{r.upper()}__BANDWIDTH_BYTES_PER_SECOND": LINK_BYTES_PER_SECOND for r in names}
        env = {name: str(value) for name, value in links.items()}
        with LocalStack.start(
            folder, regions=names, pods_per_region=pods, extra_env=env, progress=screen, rollouts=True
        ) as stack:
            screen.report(
                f"{len(names)} regions with {pods} pods each are up, each {LINK_BYTES_PER_SECOND * 8 // 10**6} Mbit/s "
                f"from the origin: {stack.ready_seconds['all']:.1f} s"
            )
            screen.report(f"the dashboard: {dashboard_url(stack.env)}")
            with _environment({**stack.env, "MODELCAST_PUBLISH__BASE_CACHE_DIR": str(folder / "bases")}):
                outcome = Demo(load_settings(), training, screen, deltas=deltas_installed()).run()
            if picture is not None:
                screen.save(picture)
            if keep:
                screen.step(f"everything stays up until Ctrl-C; look at {dashboard_url(stack.env)}")
                _until_interrupted()
            screen.step("stopping everything")
        outcome.ready_seconds = stack.ready_seconds
    outcome.total_seconds = time.monotonic() - began
    if json is not None:
        json.write_bytes(orjson.dumps(plain(outcome), option=orjson.OPT_INDENT_2) + b"\n")
    out.print(summary_table(outcome, SMALL))
    out.print(Text(_in_words(outcome)))
    for heading, lines in (("LATE", outcome.late), ("UNFINISHED", outcome.unfinished), ("BROKEN", outcome.broken)):
        for line in lines:
            say(f"{heading}: {line}")
    if outcome.exit_code is not ExitCode.DONE:
        raise typer.Exit(int(outcome.exit_code))


def _until_interrupted() -> None:
    with suppress(KeyboardInterrupt):
        while True:
            signal.pause()


@contextmanager
def _ended_tidily() -> "Iterator[None]":
    """SIGTERM and SIGHUP clean up as Ctrl-C does."""

    def end(number: int, _frame: object) -> None:
        signal.signal(number, signal.SIG_IGN)  # a second signal does not interrupt the cleaning up
        raise SystemExit(128 + number)

    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _in_words(outcome: "Outcome") -> str:
    lines = [
        f"{outcome.requests_sent} predictions asked while versions changed: {outcome.requests_failed} failed, "
        f"{outcome.wrong_version_answers} wrong",
    ]
    if outcome.requests_unanswered:
        lines.append(f"{outcome.requests_unanswered} predictions were not answered in time")
    if outcome.latency_seconds:
        p50, p99 = outcome.latency_seconds["p50"] * 1000, outcome.latency_seconds["p99"] * 1000
        lines.append(f"answers took {p50:.1f} ms (p50), {p99:.1f} ms (p99)")
    for version, why in sorted(outcome.refused.items()):
        lines.append(f"version {version} refused in {', '.join(sorted(why))}: {next(iter(why.values()))}")
    lines.append(f"{outcome.total_seconds:.1f} s in all")
    return "\n".join(lines)


@contextmanager
def _environment(variables: "Mapping[str, str]") -> "Iterator[None]":
    """The stack's settings, for this process, for a while; what pointed elsewhere is out of the way."""
    before = dict(os.environ)
    try:
        for name in [n for n in os.environ if n.startswith(("MODELCAST_", "AWS_"))]:
            if name not in {"MODELCAST_CACHE_DIR"}:
                del os.environ[name]
        os.environ.update(variables)
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
