"""What a command would change. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass

from modelcast.schemas.log.fold import ModelLog
from modelcast.schemas.records import ALL_REGIONS, CommandKind, ModelCommand


@dataclass(frozen=True, slots=True)
class RegionEffect:
    """A region that would serve another version. None: nothing."""

    region: str
    version_from: int | None
    version_to: int | None


@dataclass(frozen=True, slots=True)
class CommandEffect:
    """What a command changes.

    Attributes:
        kind: the verb.
        generation: that of its entry; 0: none is needed, it changes nothing.
        written: whether the entry stands in the log; False: it would.
        requested_by: whose command it is.
        regions: how many regions it was looked at for.
        changes: those that serve another version then.
        loads_again: how many load again what they serve.
    """

    model: str
    kind: CommandKind
    generation: int
    written: bool
    requested_by: str
    regions: int
    changes: tuple[RegionEffect, ...]
    loads_again: int = 0


def effect(log: ModelLog, command: ModelCommand, regions: Iterable[str], *, written: bool) -> CommandEffect:
    """The effect of a command.

    Args:
        log: the log right before it.
        command: it.
        regions: those that are known; those that come later are not looked at.
        written: whether it stands.
    """
    after, names = log.apply(command), sorted(set(regions))
    changes = tuple(
        RegionEffect(region, before, then)
        for region in names
        if (before := log.aspired_version(region)) != (then := after.aspired_version(region))
    )
    named = {target.region for target in command.targets} - {ALL_REGIONS}
    loads_again = sum(not named or region in named for region in names) if command.kind is CommandKind.RELOAD else 0
    return CommandEffect(
        command.model, command.kind, command.generation, written, command.requested_by, len(names), changes, loads_again
    )
