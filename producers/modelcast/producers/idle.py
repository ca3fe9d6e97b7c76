"""Whether a command says what the log says already. Pure."""

from modelcast.schemas.log import ModelLog, RegionView
from modelcast.schemas.records import CommandKind, ModelCommand

HOLDS = frozenset({CommandKind.PIN, CommandKind.PAUSE, CommandKind.QUARANTINE})
"""Kinds whose reason is shown for as long as they hold: a new one is news."""


def changes_nothing(log: ModelLog, command: ModelCommand, *, refused_in_regions: bool = True) -> bool:
    """Whether every region would do the same, now and later, without this entry.

    Args:
        log: the fold that ends right before the command.
        command: one that ``ModelLog.check`` accepts.
        refused_in_regions: whether a region may refuse the version of its own accord, which no log tells and a
            release ends.
    """
    kind = command.kind
    if kind is CommandKind.RELOAD or (kind in HOLDS and command.reason):
        return False
    if kind is CommandKind.RELEASE and refused_in_regions:
        return False
    after = log.apply(command)
    if after.quarantined.keys() != log.quarantined.keys() or after.aliases != log.aliases:
        return False
    return all(_said(after.view(region)) == _said(log.view(region)) for region in after.views)


def _said(view: RegionView) -> tuple[object, ...]:
    """What a view comes to, whichever entries said it."""
    newest = view.activations[-1][1] if view.activations else None
    behind = {v for g, v in view.activations if g <= view.pause_generation} if view.paused else set()
    return view.pinned_version, view.paused, view.paused_version, view.staged_version, newest, behind
