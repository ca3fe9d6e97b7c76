"""The registry's logs: every entry, its chain, and what regions accepted of it."""

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING

from modelcast.cli.console import say
from modelcast.cli.doctor.checks import Check, Result, Unit, failed
from modelcast.schemas import keys
from modelcast.schemas.digests import short
from modelcast.schemas.errors import ModelcastError, NotFound
from modelcast.schemas.log.fold import ModelLog

if TYPE_CHECKING:
    from modelcast.infra.registry.reader import RegistryReader
    from modelcast.infra.settings import Settings
    from modelcast.schemas.ports import ObjectStore
    from modelcast.schemas.region_memory import Memory

ENTRIES_TOLD = 1_000
"""A walk through a longer log says how far it is, each time that it has read so many more."""
ENTRIES_MAX = 1_000_000
SECONDS_MAX = 300.0
MEND = (
    "put the objects back from a copy of the store; or, if there is none, remove the entry with all above it, and "
    "decide: modelcast registry accept {model} --reason TEXT"
)


def units(settings: "Settings") -> list[Unit]:
    """What is looked at in the logs: all of them, one after the other."""
    return [Unit("logs", partial(check_logs, settings), SECONDS_MAX)]


def check_logs(settings: "Settings") -> Iterator[Check]:
    """Every log, entry by entry, and whether it is the one that each region obeys."""
    from modelcast.infra.registry.reader import RegistryReader
    from modelcast.infra.settings import ORIGIN
    from modelcast.infra.stores.configured import origin_store, region_store

    if ORIGIN not in settings.stores:
        yield Check("logs", Result.skipped, "no origin store is set", "set MODELCAST_STORES__ORIGIN__URL=s3://bucket")
        return
    reader = RegistryReader(origin_store(settings))
    try:
        reader.registry_id()
    except NotFound as error:
        yield Check("logs", Result.skipped, error.message, error.hint)
        return
    regions = {name: region_store(settings, name) for name, region in settings.regions.items() if region.store}
    models = set(reader.models())
    for region, store in sorted(regions.items()):  # a log that is gone is known to those who obeyed it
        try:
            models |= {info.key.removeprefix(keys.STATE_PREFIX) for info in store.list(keys.STATE_PREFIX)}
        except ModelcastError as error:
            del regions[region]
            yield failed(f"logs in {region}", error)
    entries, sound = 0, 0
    for model in sorted(models):
        # Regions go on meanwhile: what they accepted is read before the log that it is compared with.
        states = {region: _state_of(model, region, store) for region, store in sorted(regions.items())}
        log, checks = _walked(reader, model)
        for region, state in states.items():
            compared = _agrees(log, region, state)
            if any(check.result is Result.unreachable for check in compared):  # it would be for each log that follows
                del regions[region]
                yield from compared
            else:
                checks += compared
        entries, sound = entries + log.head, sound + (not checks)
        yield from checks
    message = f"{entries} entries in {sound} of {len(models)} log(s) follow one another"
    if regions and sound == len(models):
        message += f", and are what {', '.join(sorted(regions))} accepted"
    yield Check("logs", Result.ok if sound == len(models) else Result.warning, message, "the others are named above")


def _walked(reader: "RegistryReader", model: str) -> tuple[ModelLog, list[Check]]:
    """A log as far as it can be read, and what is wrong above. Holds no entry longer than needed."""
    from modelcast.infra.registry.reader import AHEAD_MAX

    subject, hint = f"log of {model}", MEND.format(model=model)
    log, message = reader.open_log(model), ENTRIES_TOLD
    try:
        while log.head < ENTRIES_MAX:
            tail = reader.read_until(log, log.head + AHEAD_MAX, partial=True)
            log = tail.log
            if tail.unread is not None:
                what = f"{tail.unread.subject}: {tail.unread.message}" if tail.unread.subject else tail.unread.message
                return log, [Check(subject, Result.error, what, hint)]
            if not tail.new:
                break
            if log.head >= message:
                say(f"doctor: {subject}: {log.head} entries read")
                message += ENTRIES_TOLD
        above = next(iter(reader.store.list(keys.log_prefix(model), start_after=keys.log_entry(model, log.head))), None)
    except ModelcastError as error:
        return log, [failed(subject, error)]
    if above is None:
        return log, []
    detail = f"ends at generation {log.head}, although {above.key} is there"
    if log.head >= ENTRIES_MAX:
        return log, [Check(subject, Result.warning, f"only its first {log.head} entries were read")]
    return log, [Check(subject, Result.error, detail, hint)]


def _state_of(model: str, region: str, store: "ObjectStore") -> "Memory | Check | None":
    """What a region remembers of a model; the check that says why that can't be read; None: it never owned it."""
    from modelcast.schemas.region_memory import MEMORY_SIZE_MAX, Memory

    key = keys.region_state(model)
    try:
        found = store.get(key, size_max=MEMORY_SIZE_MAX)
        return Memory.decode(found.body, key=f"{store.name}/{key}") if found else None
    except ModelcastError as error:
        return failed(f"log of {model} in {region}", error)


def _agrees(log: ModelLog, region: str, memory: "Memory | Check | None") -> list[Check]:
    """What a region obeys, or stopped at, that the log does not hold."""
    if memory is None:
        return []
    if isinstance(memory, Check):
        return [memory]
    subject = f"log of {log.model} in {region}"
    hint = MEND.format(model=log.model)
    if memory.registry_id != log.registry_id:
        message = f"it obeys registry {memory.registry_id}, the origin store is {log.registry_id}"
        return [Check(subject, Result.error, message, "the origin was wiped, restored or swapped: put it back")]
    if lines := _lost(log, memory):
        return [Check(subject, Result.error, line, hint) for line in lines]
    if memory.contradiction is not None:
        hint = "the log agrees again: the region ends the alarm at its next look, if its agent runs"
        return [Check(subject, Result.warning, f"ALARM: {memory.contradiction.reason}", hint)]
    return []


def _lost(log: ModelLog, memory: "Memory") -> list[str]:
    found = []
    for position in dict.fromkeys(memory.positions):
        if log.answers(position):
            continue
        if position.generation <= log.head:
            holds = f"it holds {short(log.digest_at(position.generation))}"
        elif log.head >= ENTRIES_MAX:
            continue  # no region has read that far
        else:
            holds = f"it ends at generation {log.head}"
        found.append(f"ALARM: accepted generation {position.generation} as {short(position.digest)}, but {holds}")
    return found
