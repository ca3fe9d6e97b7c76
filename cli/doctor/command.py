"""``modelcast doctor``: is everything there that Modelcast needs, and if not, how is it mended?

The checks are imported by the command alone: every command imports this module.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from modelcast.cli.configured import load
from modelcast.cli.console import Format, emit
from modelcast.cli.options import Output
from modelcast.schemas.errors import UsageError
from modelcast.schemas.text.printable import one_line

if TYPE_CHECKING:
    from modelcast.cli.doctor.checks import Check, Unit
    from modelcast.infra.settings import Settings

KINDS = ("machine", "kafka", "store", "logs", "regions", "redis", "pods", "trust")
COLOURS = {"ok": "green", "warning": "yellow", "skipped": "dim"}
"""By result; all others are bold red."""


def register(app: typer.Typer) -> None:
    """Add ``doctor`` to the command line."""
    app.command()(doctor)


def doctor(
    only: Annotated[list[str] | None, typer.Option("--only", help=f"One of {', '.join(KINDS)}.")] = None,
    role: Annotated[
        str, typer.Option("--role", help="Insist on the rights of this role: publisher, 'region eu', tracker, …")
    ] = "",
    output: Output = Format.table,
) -> None:
    """Check this machine, Kafka, stores and logs, regions, Redis, pods and trust, and say how to mend what is wrong.

    Everything is looked at side by side and changes nothing; what hangs is given up after a while and named.
    Exit code 0: all is well (warnings allowed); 1: something is wrong; 6: something can't be reached.
    """
    from modelcast.cli.doctor.checks import exit_code
    from modelcast.cli.doctor.roles import ORIGIN_ROLES, REGION_ROLES, kafka_roles
    from modelcast.cli.doctor.running import run_units

    settings = load()
    if only and set(only) - set(KINDS):
        unknown = ", ".join(map(repr, sorted(set(only) - set(KINDS))))
        raise UsageError(f"no such check: {unknown}", hint=f"--only takes {', '.join(KINDS)}")
    known = dict.fromkeys(r.name for r in (*kafka_roles(settings.regions), *ORIGIN_ROLES, *REGION_ROLES))
    if role and role not in known:
        raise UsageError(f"no such role: {role!r}", hint=f"--role takes {', '.join(repr(name) for name in known)}")
    units = [unit for kind, make in _kinds().items() if not only or kind in only for unit in make(settings, role)]
    found = run_units(units)
    emit(found, output, _table(found))
    if code := exit_code(found):
        raise typer.Exit(int(code))


def _kinds() -> "dict[str, Callable[[Settings, str], list[Unit]]]":
    """What makes the units of each of ``KINDS``."""
    from modelcast.cli.doctor import kafka, logs, machine, pods, redis, regions, stores, trust

    return {
        "machine": machine.units,
        "kafka": kafka.units,
        "store": stores.units,
        "logs": lambda settings, _: logs.units(settings),
        "regions": lambda settings, _: regions.units(settings),
        "redis": lambda settings, _: redis.units(settings),
        "pods": lambda settings, _: pods.units(settings),
        "trust": lambda settings, _: trust.units(settings),
    }


def _table(found: "list[Check]") -> Table:
    table = Table("", "WHAT", "FOUND", box=None)
    for check in found:
        colour = COLOURS.get(check.result.value, "bold red")
        detail = one_line(check.detail) + (
            f"\n→ {one_line(check.hint)}" if check.hint and check.result.value != "ok" else ""
        )
        table.add_row(Text(check.result.value, style=colour), check.subject, detail)
    return table
