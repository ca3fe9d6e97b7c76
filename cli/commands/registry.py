"""``modelcast registry accept | restore-id``: what a person decides when the registry itself is not what it was."""

from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from modelcast.cli.configured import load, origin_registry, warnings_only
from modelcast.cli.console import Format, emit, say
from modelcast.cli.options import Output, Reason, Yes, confirm
from modelcast.schemas.errors import NotFound, Refused, UsageError
from modelcast.schemas.log.verbs import RULES
from modelcast.schemas.names import check_model
from modelcast.schemas.records import CommandKind, LogPosition

if TYPE_CHECKING:
    from modelcast.infra.settings import Settings

registry = typer.Typer(no_args_is_help=True, help="When the registry was restored, rewritten or damaged.")


def register(app: typer.Typer) -> None:
    """Add ``registry`` to the command line."""
    app.add_typer(registry, name="registry")


@registry.command()
def accept(
    model: Annotated[str, typer.Argument(help="The model whose log was rewritten, as in fraud.")],
    reason: Reason = "",
    yes: Yes = False,
    output: Output = Format.table,
) -> None:
    """Have every region obey a model's log as it is, although it had accepted another one.

    Reads what the regions of the settings had accepted, from their buckets. Entries that say who accepted, why, and
    what was given up are written into the log; there is no other way to end such an alarm but to restore the log.
    """
    from modelcast.producers.acceptance import Acceptor, position_text

    warnings_only()
    settings, name = load(), check_model(model)
    if not reason.strip():
        raise UsageError("accepting a log that was rewritten needs --reason", subject=name, hint="it stays in the log")
    accepted = positions(settings, name)
    for region, found in accepted.items():
        say(f"{region} had read it up to " + ", ".join(map(position_text, found)))
    confirm(RULES[CommandKind.ACCEPT].question.format(model=name), yes=yes)
    with Acceptor(settings) as acceptor:
        written = acceptor.accept(name, [p for found in accepted.values() for p in found], reason=reason)
    last = written[-1]
    line = f"{name}: the log is accepted as generation {last.generation}, instead of " + ", ".join(
        map(position_text, last.replaces)
    )
    emit(written, output, Text(line))


def positions(settings: "Settings", model: str) -> dict[str, tuple[LogPosition, ...]]:
    """What each region of the settings had read of a model's log, by region; left out: those that never met it.

    Raises:
        UsageError: the settings list no region with a bucket.
        StoreUnavailable: a region's bucket did not answer: what it had accepted must be known.
        NotFound: no region has ever met the model.
    """
    from modelcast.infra.stores.configured import region_store
    from modelcast.schemas import keys
    from modelcast.schemas.region_memory import MEMORY_SIZE_MAX, Memory

    if not settings.regions:
        raise UsageError("the settings list no region", subject=model, hint="run it where [regions.NAME] are set")
    found: dict[str, tuple[LogPosition, ...]] = {}
    for region in sorted(settings.regions):
        store = region_store(settings, region)
        state = store.get(keys.region_state(model), size_max=MEMORY_SIZE_MAX)
        if state is not None:
            known = Memory.decode(state.body, key=f"{store.name}/{keys.region_state(model)}").positions
            found |= {region: known} if known else {}
    if not found:
        raise NotFound("no region has accepted anything of it", subject=model, hint="modelcast get models")
    return found


@registry.command("restore-id")
def restore_id_(
    registry_id: Annotated[str | None, typer.Argument(help="The id; without it, the one that the logs name.")] = None,
    yes: Yes = False,
) -> None:
    """Put back registry/id.json where it was deleted or damaged: a new id would disown every entry, which names it."""
    from modelcast.infra.registry.audit_trail import audit_trail
    from modelcast.infra.registry.restore_id import named_ids, restore_id
    from modelcast.producers.identity import where_from, whoami

    warnings_only()
    settings = load()
    reader = origin_registry(settings)
    named = named_ids(reader)
    ids = "; ".join(f"{found} in {len(models)} log(s), as {models[0]}" for found, models in named.items())
    if registry_id is None:
        if len(named) != 1:
            what = f"the logs name several ids: {ids}" if named else "no log's first entry can be read"
            raise Refused(what, subject=reader.store.name, hint="name the right one: modelcast registry restore-id ID")
        (registry_id,) = named
    elif registry_id not in named:
        hint = "the id must be the one that its entries name; see `modelcast doctor --only logs`"
        raise Refused(f"no log names {registry_id} ({ids or 'none can be read'})", subject=reader.store.name, hint=hint)
    confirm(f"Put {registry_id} back as the registry's id?", yes=yes)
    who = settings.publish.publisher or whoami()
    with audit_trail(settings, source=where_from()).of(who, "registry restore-id", registry_id):
        kept = restore_id(reader, registry_id)
    if kept:
        say(f"the damaged bytes are kept as {kept}")
    say(f"the registry is {registry_id} again, as {len(named[registry_id])} log(s) name it")
