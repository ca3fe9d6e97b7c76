"""``modelcast topics``, ``config show``: the cluster's topics, and the settings in force."""

from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from modelcast.cli.configured import load
from modelcast.cli.console import Format, emit, say
from modelcast.cli.options import DryRun, Output
from modelcast.schemas.errors import ExitCode

if TYPE_CHECKING:
    from modelcast.infra.settings import Settings

config = typer.Typer(no_args_is_help=True, help="The settings in force.")


def register(app: typer.Typer) -> None:
    """Add these commands to the command line."""
    app.command()(topics)
    app.add_typer(config, name="config")


def topics(
    create: Annotated[bool, typer.Option("--create", help="Create those that are missing.")] = False,
    replication: Annotated[int | None, typer.Option("--replication", min=1, help="Copies of each partition.")] = None,
    dry_run: DryRun = False,
    output: Output = Format.table,
) -> None:
    """The topics: what they must be, what they are, and what differs (exit code 1).

    --create also puts this release's schemas into the registry, for older readers: say it again at an upgrade.
    """
    from modelcast.infra.claim import put_schemas
    from modelcast.infra.kafka_admin import check_topics, create_topics, describe
    from modelcast.infra.settings import ORIGIN
    from modelcast.infra.stores.configured import origin_store
    from modelcast.schemas.topics import TOPICS

    settings = load()
    if create and not dry_run:
        for name in create_topics(settings, replication):
            say(f"created {name}")
        if ORIGIN in settings.stores:
            say(f"{put_schemas(origin_store(settings))} schemas are in the registry")
    cluster, findings = describe(settings), check_topics(settings)
    there = {t.name: t for t in cluster.topics}
    if create and dry_run:
        for spec in TOPICS:
            if spec.name not in there:
                say(f"would create {spec.name} with {spec.partitions} partitions")
    table = Table("TOPIC", "PARTITIONS", "COPIES", "CLEANUP", "RECORDS", "PROBLEM", box=None)
    for spec in TOPICS:
        found = there.get(str(spec.name))
        problems = "; ".join(f.problem for f in findings if f.subject == spec.name)
        table.add_row(
            str(spec.name),
            str(found.partitions) if found else "-",
            str(found.replication) if found else "-",
            found.config.get("cleanup.policy", "-") if found else "-",
            str(found.records_max) if found else "-",
            problems or "ok",
        )
    emit({"cluster": cluster, "findings": findings}, output, table)
    for finding in findings:
        say(f"{finding.severity}: {finding.subject}: {finding.problem}\n  → {finding.hint}")
    if any(f.severity == "error" for f in findings):
        raise typer.Exit(int(ExitCode.FAILED))


@config.command()
def show(
    output: Annotated[Format, typer.Option("--output", "-o", help="How it is written.")] = Format.yaml,
) -> None:
    """The settings in force, from the file and MODELCAST_… variables; secrets are masked."""
    from modelcast.infra.settings import config_path

    settings = load()
    path = config_path()
    say(f"file: {path or 'none (variables and defaults only)'}")
    flat = _flatten(_masked(settings))
    table = Table("SETTING", "VALUE", box=None)
    for key, value in flat.items():
        table.add_row(key, str(value))
    emit(_masked(settings), output, table)


def _masked(settings: "Settings") -> dict[str, Any]:
    from pydantic import SecretStr

    def mask(value: Any) -> Any:
        if isinstance(value, SecretStr):
            return _without_password(value.get_secret_value())
        if isinstance(value, dict):
            return {k: mask(v) for k, v in value.items()}
        if isinstance(value, list | tuple):
            return [mask(v) for v in value]
        return value if isinstance(value, str | int | float | bool | None) else str(value)

    masked = mask(settings.model_dump())
    assert isinstance(masked, dict)
    return masked


def _without_password(secret: str) -> str:
    """A URL keeps everything but its password; anything else is masked whole."""
    scheme, separator, rest = secret.partition("://")
    if not separator:
        return "********"
    credentials, at, host = rest.rpartition("@")
    user = credentials.split(":")[0]
    return f"{scheme}://{user + ':********@' if at else ''}{host}"


def _flatten(value: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, item in value.items():
        if isinstance(item, dict) and item:
            flat |= _flatten(item, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = item
    return flat
