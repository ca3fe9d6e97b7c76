"""``modelcast history | inspect | pull``: what the registry holds, straight from the origin store."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from modelcast.cli.configured import load, origin_registry, warnings_only
from modelcast.cli.console import Format, TextTable, emit, err, say
from modelcast.cli.options import Output, path
from modelcast.cli.views.at_time import show_at
from modelcast.schemas.digests import short
from modelcast.schemas.errors import NotFound, UsageError
from modelcast.schemas.names import Reference, check_model
from modelcast.schemas.quantities import duration, size
from modelcast.schemas.records import ALL_REGIONS, Activation, Entry, ModelUpdate

if TYPE_CHECKING:
    from modelcast.infra.registry.reader import RegistryReader, Tail, TimedEntry
    from modelcast.schemas.log.fold import ModelLog

ModelArgument = Annotated[str, typer.Argument(help="A model, as in fraud.")]
ReferenceArgument = Annotated[str, typer.Argument(help="A version: fraud/7, fraud@champion, or fraud (the aspired).")]


def register(app: typer.Typer) -> None:
    """Add these commands to the command line."""
    app.command()(history)
    app.command()(inspect)
    app.command()(pull)


def read_log(reader: "RegistryReader", model: str) -> "tuple[ModelLog, Mapping[int, TimedEntry]]":
    """A model's log; it ends below an entry that can't be read, and a remark says so.

    Raises:
        NotFound: nothing was ever published under that name.
        DecodeError: its very first entry can't be read.
    """
    tail = _tail(reader, model)
    if tail.unread is not None:
        say(f"note: read up to generation {tail.log.head} only: {tail.unread}")
    return tail.log, tail.new


def _tail(reader: "RegistryReader", model: str) -> "Tail":
    tail = reader.tail(model, partial=True)
    if not tail.log.head and tail.unread is not None:
        raise tail.unread
    if not tail.log.head:
        raise NotFound("no such model", subject=model, hint="modelcast get models; modelcast publish MODEL PATH")
    return tail


def history(
    model: ModelArgument,
    last: Annotated[int | None, typer.Option("--last", min=1, help="How many of the newest to show.")] = None,
    at: Annotated[
        str | None, typer.Option("--at", help="What was served then: 2026-11-30T03:41Z, 03:41, or 20m (ago).")
    ] = None,
    region: Annotated[str | None, typer.Option("--region", "-r", help="With --at: only this region.")] = None,
    output: Output = Format.table,
) -> None:
    """Every entry of a model's log, newest first: who, when, what, why. With --at: what each region served then."""
    name = check_model(model)
    if at is not None:
        if last is not None:
            raise UsageError("--last and --at exclude each other", hint="name one of them")
        show_at(name, at, region, output)
        return
    if region is not None:
        raise UsageError("--region goes with --at", hint="entries name their regions themselves: leave it out")
    tail = _tail(origin_registry(load()), name)
    newest = sorted(tail.new.items(), reverse=True)[:last]
    now = time.time()
    table = TextTable("GENERATION", "AGE", "WHAT", "WHO", "WHY", box=None)
    for generation, timed in newest:
        who, why = _who_and_why(timed.entry)
        table.add_row(
            str(generation), duration(now - timed.last_modified_us / 1e6), describe_entry(timed.entry), who, why
        )
    rows = [
        {"generation": g, "received_at_us": t.last_modified_us, "kind": type(t.entry).__name__, "entry": t.entry}
        for g, t in newest
    ]
    emit(rows, output, table)
    if tail.unread is not None:  # what was asked for is everything
        raise tail.unread


def describe_entry(entry: Entry) -> str:
    """An entry in one line, for people."""
    if isinstance(entry, ModelUpdate):
        where = f" to {', '.join(entry.placement)}" if entry.placement else ""
        how = ", staged" if entry.activation is Activation.STAGED else ""
        return f"publish version {entry.version} ({size(entry.artifact.size_bytes)}{how}){where}"
    targets = ", ".join(
        (f"version {t.version}" if t.version is not None else "")
        + (f"{' in ' if t.version is not None else ''}{t.region}" if t.region != ALL_REGIONS else "")
        or "all regions"
        for t in entry.targets
    )
    name = f" {entry.alias}" if entry.alias else ""
    return f"{entry.kind.value.lower()}{name}: {targets}"


def _who_and_why(entry: Entry) -> tuple[str, str]:
    if isinstance(entry, ModelUpdate):
        return entry.publisher, " ".join(f"{k}={v}" for k, v in {**entry.metrics, **entry.labels}.items())
    return entry.requested_by, entry.reason


def inspect(reference: ReferenceArgument, output: Output = Format.table) -> None:
    """One version: its files, digests, metrics, labels, and who published it."""
    from modelcast.consumers.fetch import read_manifest
    from modelcast.infra.stores.configured import origin_store

    wanted, settings = Reference.parse(reference), load()
    store = origin_store(settings)
    log, entries = read_log(origin_registry(settings), wanted.model)
    update = log.resolve(wanted)
    manifest = read_manifest(store, update.artifact.manifest_digest, update.artifact.manifest_key)
    aliases = sorted(a for a, v in log.aliases.items() if v == update.version)
    table = TextTable(show_header=False, box=None)
    received_us = entries[update.generation].last_modified_us
    for name, value in (
        ("version", f"{update.model}/{update.version}"),
        ("generation", str(update.generation)),
        ("manifest", update.artifact.manifest_digest),
        ("size", f"{size(manifest.size_bytes)} in {len(manifest.files)} file(s)"),
        ("framework", update.artifact.framework),
        ("published", f"{duration(time.time() - received_us / 1e6)} ago by {update.publisher or '?'}"),
        ("placement", ", ".join(update.placement) or "all regions"),
        ("activation", update.activation.value.lower()),
        ("quarantined", "yes" if update.version in log.quarantined else "no"),
        ("aliases", ", ".join(aliases)),
        ("metrics", " ".join(f"{k}={v}" for k, v in update.metrics.items())),
        ("labels", " ".join(f"{k}={v}" for k, v in update.labels.items())),
        ("event", update.event_id),
    ):
        table.add_row(name, value)
    for file in manifest.files:
        table.add_row("file", f"{file.path}  {size(file.size_bytes)}  {short(file.digest)}")
    data = {
        "update": update,
        "received_at_us": received_us,
        "aliases": aliases,
        "quarantined": update.version in log.quarantined,
        "files": [{"path": f.path, "size_bytes": f.size_bytes, "digest": f.digest} for f in manifest.files],
    }
    emit(data, output, table)


def pull(
    reference: ReferenceArgument,
    folder: Annotated[Path, typer.Argument(help="Where to put its files; must not exist, or be empty.", parser=path)],
    region: Annotated[str | None, typer.Option("--region", "-r", help="Read from this region's bucket.")] = None,
) -> None:
    """Download a version and verify every byte of it. Interrupted, it resumes when run again."""
    from rich.progress import BarColumn, DownloadColumn, Progress, TransferSpeedColumn

    from modelcast.consumers.fetch import pull as fetch
    from modelcast.infra.stores.configured import origin_store, region_store

    warnings_only()
    settings, wanted = load(), Reference.parse(reference)
    origin = origin_store(settings)
    log, _ = read_log(origin_registry(settings), wanted.model)
    update = log.resolve(wanted, region or ALL_REGIONS)
    artifact = update.artifact
    source = region_store(settings, region) if region else origin
    columns = ("[progress.description]{task.description}", BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as progress:
        task = progress.add_task(f"{update.model}/{update.version}", total=artifact.size_bytes)
        try:
            fetch(
                source,
                artifact.manifest_digest,
                folder,
                manifest_key=artifact.manifest_key,
                on_progress=lambda count: progress.advance(task, count),
            )
        except NotFound as error:
            hint = (
                f"{region} does not hold it: modelcast describe {update.model}; or pull without --region"
                if region
                else "it was deleted from the store: publish it again, as a new version"
            )
            raise NotFound(error.message, subject=error.subject, hint=hint) from error
    say(f"{update.model}/{update.version}: {size(artifact.size_bytes)} in {folder}, verified")
