"""``modelcast top``."""

import os
import sys
from typing import Annotated

import typer

from modelcast.cli.configured import load
from modelcast.schemas.errors import ModelcastError, UsageError

HINT = "pip install 'modelcast[top]'"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(top)


def top(
    url: Annotated[
        str, typer.Option("--url", help="A dashboard's address; else Kafka and Redis are read from here.")
    ] = "",
) -> None:
    """Who serves what, how late and why, live in this terminal: j/k moves, Enter opens, / finds, c copies, q ends.

    A token that the dashboard asks its readers for comes from MODELCAST_DASHBOARD_TOKEN.
    """
    try:
        from modelcast.cli.top.app import TopApp
        from modelcast.cli.top.feeds import ApiFeed, DirectFeed
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in {"textual", "aiohttp"}:
            raise
        raise ModelcastError(f"this command needs {error.name!r}, which is not installed", hint=HINT) from error
    if url and not url.startswith(("http://", "https://")):
        raise UsageError("no address of a dashboard", subject=url[:80], hint="as in http://127.0.0.1:9470")
    token = os.environ.get("MODELCAST_DASHBOARD_TOKEN", "")
    feed = ApiFeed(url, token) if url else DirectFeed(load())
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageError("top needs a terminal", hint="modelcast get models tells the same once")
    TopApp(feed).run()
