"""``modelcast topics``: what the cluster's topics must be, and what they are."""

from typing import Annotated

import typer

from modelcast.cli.configured import load
from modelcast.cli.console import Format, TextTable, emit, say
from modelcast.cli.options import DryRun, Output
from modelcast.schemas.errors import ExitCode


def register(app: typer.Typer) -> None:
    """Add ``topics`` to the command line."""
    app.command()(topics)


def topics(
    create: Annotated[bool, typer.Option("--create", help="Create those that are missing.")] = False,
    replication: Annotated[
        int | None, typer.Option("--replication", min=1, max=32767, help="Copies of each partition.")
    ] = None,
    dry_run: DryRun = False,
    output: Output = Format.table,
) -> None:
    """The topics: what they must be, what they are, and what differs (exit code 1).

    --create also puts this release's schemas into the registry, for older readers: run it again after an upgrade.
    """
    from modelcast.infra.kafka.admin import check_topics, create_topics, describe
    from modelcast.infra.registry.claim import put_schemas
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
    table = TextTable("TOPIC", "PARTITIONS", "COPIES", "CLEANUP", "RECORDS", "PROBLEM", box=None)
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
