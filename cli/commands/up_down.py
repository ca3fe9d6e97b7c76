"""``modelcast up | down``: the whole thing on this machine, kept until it is taken down."""

import shlex
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from modelcast.cli.console import Format, emit, err, say
from modelcast.cli.options import Output, path

Directory = Annotated[Path | None, typer.Option("--dir", help="The stack's own folder.", parser=path)]


def register(app: typer.Typer) -> None:
    """Add ``up`` and ``down`` to the command line."""
    app.command()(up)
    app.command()(down)


class Steps:
    """A ``Progress`` of the local stack: a spinner on a terminal, lines elsewhere."""

    def __init__(self) -> None:
        self._status = err.status("starting") if err.is_terminal else None

    def __enter__(self) -> "Steps":
        if self._status:
            self._status.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._status:
            self._status.stop()

    def step(self, text: str) -> None:
        """Show what is happening."""
        if self._status:
            self._status.update(Text(text))
        else:
            say(text)


def up(
    env: Annotated[bool, typer.Option("--env", help='Print what to export: eval "$(modelcast up --env)".')] = False,
    directory: Directory = None,
    regions: Annotated[
        str | None, typer.Option("--regions", help="Names, with commas. Without it: those that are up, or eu,us,ap.")
    ] = None,
    pods: Annotated[
        int | None, typer.Option("--pods", min=1, help="Serving pods a region. Without it: those that are up, or 2.")
    ] = None,
    servers_only: Annotated[
        bool, typer.Option("--servers-only", help="Kafka, S3 and Redis: the daemons are run by hand.")
    ] = False,
    output: Output = Format.table,
) -> None:
    """Start Kafka, S3, Redis, tracker, dashboard, and regions with their pods; keep them until `modelcast down`."""
    from modelcast.infra.local.layout import dashboard_url
    from modelcast.infra.local.up import UpOptions, default_dir
    from modelcast.infra.local.up import up as start

    names = None if regions is None else tuple(name.strip() for name in regions.split(",") if name.strip())
    options = UpOptions(
        directory=directory or default_dir(), regions=names, pods_per_region=pods, with_daemons=not servers_only
    )
    with Steps() as steps:
        found = start(options, steps)
    exports = "\n".join(f"export {name}={shlex.quote(value)}" for name, value in found.env.items())
    if env:
        emit(found.env, output, Text(exports))
        return
    pods_up = sum(name.startswith("pod-") for name in found.services)
    folder = f" --dir {shlex.quote(str(directory))}" if directory else ""
    seen = dashboard_url(found.env)
    line = (
        f"up: {', '.join(found.regions)} with {pods_up} pods, in {found.directory}\n"
        + (f"look at it:  {seen}\n" if seen else "")
        + f'use it:  eval "$(modelcast up --env{folder})"\nend it:  modelcast down{folder}'
    )
    emit(
        {"directory": str(found.directory), "dashboard": seen, "env": found.env, "services": found.services},
        output,
        Text(line),
    )


def down(
    directory: Directory = None,
    delete_data: Annotated[
        bool, typer.Option("--delete-data", help="Delete what was published there, and its logs.")
    ] = False,
) -> None:
    """Stop what `modelcast up` started. What was published stays for the next `up`, unless --delete-data is given."""
    from modelcast.infra.local.up import default_dir
    from modelcast.infra.local.up import down as stop

    folder = directory or default_dir()
    with Steps() as steps:
        there = stop(folder, steps, delete_data=delete_data)
    if not there:
        say(f"nothing was up; what was published before is kept in {folder}" if folder.exists() else "nothing was up")
    elif delete_data:
        say(f"down, and the data in {folder} is deleted")
    else:
        option = f" --dir {shlex.quote(str(directory))}" if directory else ""
        say(f"down; its data stays in {folder}\ndelete it:  modelcast down --delete-data{option}")
